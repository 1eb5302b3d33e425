"""Answers, figures and comparisons from logits, against hand-made and brute-force values."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmarks.deployments import accuracy
from benchmarks.deployments.deployment import Deployment
from benchmarks.gate.compare import figures
from benchmarks.stats.resample import Bootstrap
from train.data.lists import Sample
from train.evaluation.evaluate import Evaluation

BOOTSTRAP: Bootstrap = {"resamples": 500, "seed": 0, "level": 0.95}


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
    ours = figures([answers], labels, logits.shape[1], BOOTSTRAP)
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


def _problem(reference: np.ndarray, logits: np.ndarray, precision: str = "fp32") -> str | None:
    paths = [f"clip{i}.mp4" for i in range(len(reference))]
    return accuracy.parity_problem(Deployment("onnxruntime", precision), reference, logits, paths)


def test_rounding_passes_and_another_network_does_not() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(0, 3, (50, 6)).astype(np.float32)
    rounded = reference + rng.normal(0, 1e-5, reference.shape).astype(np.float32)
    assert _problem(reference, rounded) is None
    changed = reference.copy()
    changed[17, 2] += 0.5
    assert re.search(r"up to 0\.5 .*clip17\.mp4", str(_problem(reference, changed)))
    # A lower precision may differ: that is what is measured.
    assert _problem(reference, changed, "int8") is None


def test_a_clip_that_only_one_cell_answers_cannot_be_compared() -> None:
    reference = np.ones((4, 3), np.float32)
    other = reference.copy()
    other[2] = np.nan
    assert "clip2.mp4" in str(_problem(reference, other, "int8"))
    assert "(4, 2) instead of (4, 3)" in str(_problem(reference, reference[:, :2]))


def test_the_same_network_is_one_of_floats_whose_answers_all_agree() -> None:
    rng = np.random.default_rng(0)
    reference = rng.normal(0, 3, (50, 6)).astype(np.float32)
    reference[3] = np.nan  # a clip that nobody could read
    rounded = reference + rng.normal(0, 1e-5, reference.shape).astype(np.float32)
    fp32, int8 = Deployment("openvino", "fp32"), Deployment("openvino", "int8")
    assert accuracy.is_same_network(fp32, reference, rounded)
    assert not accuracy.is_same_network(int8, reference, rounded)
    tie = reference.copy()
    tie[7, :2] = reference[7].max() + 1
    other = tie.copy()
    other[7, 1] += 1e-6
    assert not accuracy.is_same_network(fp32, tie, other)  # the answer fell the other way
    assert not accuracy.is_same_network(fp32, reference, reference * 1.01)
