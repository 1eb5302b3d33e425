"""A deployment against the reference: what was gained, what is left, what the verdict is."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from benchmarks.deployments.accuracy import Answers
from benchmarks.gate.compare import compare_cells
from benchmarks.gate.verdict import Rule


def _rows(right: dict[str, dict[str, np.ndarray]], clips: int) -> list[dict[str, Any]]:
    """right: by model and cell, bool [clips] or [pairs, clips]."""
    labels = np.zeros(clips, np.int64)
    answers = {
        model: {
            key: [
                Answers((~one).astype(np.int64), (~one).astype(np.int64))
                for one in np.atleast_2d(mask)
            ]
            for key, mask in cells.items()
        }
        for model, cells in right.items()
    }
    return compare_cells(
        labels,
        8,
        answers,
        reference="a:fp32",
        rule=Rule(),
        bootstrap={"resamples": 500, "seed": 0, "level": 0.95},
    )


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


def test_verdicts_need_a_gain_and_follow_its_loss() -> None:
    clips = np.arange(4000)
    base, dml = clips < 2000, clips < 2400
    whole, kept, lost = _rows(
        {
            "baseline": {"a:fp32": base, "b:fp16": base, "b:int8": base},
            "student": {"a:fp32": dml, "b:fp16": clips < 2385, "b:int8": clips < 2200},
        },
        4000,
    )
    assert whole["verdict"]["verdict"] == "reference" and whole["verdict"]["gain_is_real"]
    assert whole["verdict"]["clips_needed"] is None and not whole["verdict"]["collapsed"]
    assert kept["verdict"]["verdict"] == "pass" and kept["verdict"]["kept"]["low"] > 0
    assert lost["verdict"]["verdict"] == "fail"
    assert lost["verdict"]["change"]["point"] == pytest.approx(-0.05)
    assert lost["verdict"]["kept"]["point"] == pytest.approx(0.05 - 0.8 * 0.1)


def test_one_answer_for_everything_fails_even_on_few_clips() -> None:
    labels = np.arange(12) % 3
    good = Answers(labels, np.zeros(12, np.int64))
    stuck = Answers(np.zeros(12, np.int64), labels.copy())
    rows = compare_cells(
        labels,
        3,
        {
            "baseline": {"a:fp32": [good], "b:int8": [good]},
            "student": {"a:fp32": [good], "b:int8": [stuck]},
        },
        reference="a:fp32",
        rule=Rule(),
        bootstrap={"resamples": 200, "seed": 0, "level": 0.95},
    )
    assert rows[1]["verdict"]["one_class"] and rows[1]["verdict"]["verdict"] == "fail"
    assert rows[1]["student"]["classes_answered"] == 1


def test_several_pairs_are_judged_together_and_one_by_one() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random((5, 2000))
    base, dml = hard < 0.7, hard < 0.76
    quantised = dml ^ (rng.random(dml.shape) < 0.004)
    whole, row = _rows(
        {
            "baseline": {"a:fp32": base, "b:int8": base},
            "student": {"a:fp32": dml, "b:int8": quantised},
        },
        2000,
    )
    assert whole["gain"]["p"] is None and whole["gain"]["pairs"] == 5
    assert whole["gain"]["point"] == pytest.approx(dml.mean() - base.mean())
    assert whole["gain"]["pairs_gaining"] == 5 and whole["gain"]["distinguishable"]
    assert [pair["verdict"] for pair in row["pairs"]].count("pass") >= 4
    assert all(0 < pair["gain"]["p"] < 0.05 for pair in row["pairs"])
    assert row["verdict"]["verdict"] == "pass"
    assert row["student"]["top1"]["point"] == pytest.approx(quantised.mean())
    assert row["gain_macro_f1"] is None
    # One pair of the five says less about other trainings, but more is shown of its own clips.
    alone = _rows(
        {
            "baseline": {"a:fp32": base[0], "b:int8": base[0]},
            "student": {"a:fp32": dml[0], "b:int8": quantised[0]},
        },
        2000,
    )[1]
    assert alone["gain"]["p"] == row["pairs"][0]["gain"]["p"]
    assert alone["verdict"]["verdict"] == row["pairs"][0]["verdict"]
