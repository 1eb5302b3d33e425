"""Answers, figures and comparisons from logits, against hand-made and brute-force values."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmarks import accuracy
from benchmarks.accuracy import Answers, Cell
from benchmarks.errors import BenchmarkError
from train.data.lists import Sample
from train.evaluate import Evaluation


@st.composite
def tables(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    clips, classes = draw(st.integers(1, 12)), draw(st.integers(2, 8))
    # Few different values, so that ties happen.
    logits = draw(hnp.arrays(np.float32, (clips, classes), elements=st.sampled_from([0, 1, 2])))
    labels = draw(hnp.arrays(np.int64, clips, elements=st.integers(0, classes - 1)))
    failed = draw(hnp.arrays(bool, clips))
    logits[failed] = np.nan
    return logits, labels


@given(tables())
def test_figures_are_those_of_the_evaluation(table: tuple[np.ndarray, np.ndarray]) -> None:
    logits, labels = table
    paths = tuple(str(Sample(__file__, 0, None, i)) for i in range(len(labels)))
    failed = [(paths[i], "broken") for i in np.flatnonzero(np.isnan(logits).any(1))]
    expected = Evaluation(logits, labels, paths, tuple(failed))
    answers = accuracy.answers_of(logits, labels)
    ours = accuracy.figures(answers, labels, logits.shape[1])
    assert np.array_equal(answers.predictions, expected.predictions)
    assert ours["top1"]["point"] == pytest.approx(expected.top1)
    assert ours["top5"]["point"] == pytest.approx(expected.top5)
    assert ours["macro_f1"] == pytest.approx(expected.macro_f1)


def test_macro_f1_gain_is_the_bootstrap_of_macro_f1() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, 200)
    a = np.where(rng.random(200) < 0.6, labels, rng.integers(0, 4, 200))
    b = np.where(rng.random(200) < 0.8, labels, rng.integers(0, 4, 200))
    ours = accuracy.macro_f1_gain(a, b, labels, 4, resamples=4000)
    drawn = rng.integers(0, 200, (2000, 200))
    brute = [
        accuracy.macro_f1(b[i], labels[i], 4) - accuracy.macro_f1(a[i], labels[i], 4) for i in drawn
    ]
    assert ours.point == pytest.approx(
        accuracy.macro_f1(b, labels, 4) - accuracy.macro_f1(a, labels, 4)
    )
    assert [ours.low, ours.high] == pytest.approx(np.quantile(brute, [0.025, 0.975]), abs=0.015)


def _rows(right: dict[str, dict[str, np.ndarray]], clips: int) -> list[dict[str, object]]:
    labels = np.zeros(clips, np.int64)
    answers = {
        model: {key: Answers((~mask).astype(np.int64), (~mask).astype(np.int64))
                for key, mask in cells.items()}
        for model, cells in right.items()
    }  # fmt: skip
    return accuracy.compare_cells(labels, 8, answers, reference="a:fp32", resamples=500)


def test_identical_models_give_no_gain_anywhere() -> None:
    mask = np.arange(500) % 3 > 0
    rows = _rows(
        {model: {"a:fp32": mask, "b:int8": mask} for model in ("baseline", "student")}, 500
    )
    for row in rows:
        assert row["gain"]["point"] == 0 and row["gain"]["p"] == 1
        assert not row["gain"]["distinguishable"]
        assert row["gain_left"] == {"share": None, "meaningful": False}
        assert row["gain_change"]["point"] == 0 and not row["gain_change"]["distinguishable"]
        assert row["gain_macro_f1"]["point"] == 0


def test_a_gain_lost_in_one_cell_is_seen_there_only() -> None:
    clips = np.arange(1000)
    base, dml = clips < 500, clips < 600
    rows = _rows(
        {
            "baseline": {"a:fp32": base, "b:fp32": base, "b:int8": base},
            "student": {"a:fp32": dml, "b:fp32": dml, "b:int8": base},
        },
        1000,
    )
    whole, same, lost = rows
    assert whole["gain"]["distinguishable"] and same["gain"]["distinguishable"]
    assert same["gain_left"]["share"]["point"] == pytest.approx(1)
    assert same["student"]["change"]["point"] == 0
    assert not lost["gain"]["distinguishable"]
    assert lost["gain_left"]["meaningful"] and lost["gain_left"]["share"]["point"] == 0
    assert lost["gain_change"]["distinguishable"]
    assert lost["student"]["change"]["distinguishable"]
    assert lost["student"]["agreement"] == pytest.approx(0.9)
    assert lost["baseline"]["agreement"] == 1


def _parity(reference: np.ndarray, logits: np.ndarray, precision: str = "fp32") -> None:
    paths = [f"clip{i}.mp4" for i in range(len(reference))]
    accuracy.check_parity(
        "student", Cell("onnxruntime", precision), reference, logits, paths,
        reference_key="paddle:fp32",
    )  # fmt: skip


def test_rounding_passes_and_another_network_does_not() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(0, 3, (50, 6)).astype(np.float32)
    _parity(reference, reference + rng.normal(0, 1e-5, reference.shape).astype(np.float32))
    changed = reference.copy()
    changed[17, 2] += 0.5
    with pytest.raises(BenchmarkError, match=r"student in onnxruntime:fp32.*clip17\.mp4"):
        _parity(reference, changed)
    _parity(reference, changed, "int8")  # a lower precision may differ: that is what is measured


def test_a_clip_that_only_one_cell_answers_stops_the_comparison() -> None:
    reference = np.ones((4, 3), np.float32)
    other = reference.copy()
    other[2] = np.nan
    with pytest.raises(BenchmarkError, match=r"clip2\.mp4"):
        _parity(reference, other, "int8")
    with pytest.raises(BenchmarkError, match=r"\(4, 2\) instead of \(4, 3\)"):
        _parity(reference, reference[:, :2])


@pytest.mark.parametrize("text", ["onnxruntime", ":fp32", "paddle:", ""])
def test_cells_are_runtime_and_precision(text: str) -> None:
    with pytest.raises(BenchmarkError, match="runtime:precision"):
        Cell.parse(text)
