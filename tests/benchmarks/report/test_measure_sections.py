"""The tables of what top-1 does not show."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.gate.accepted import add_accepted
from benchmarks.gate.calibrations import add_calibrations
from benchmarks.gate.conditions import apply_conditions
from benchmarks.pages.parts import Badge, Table
from benchmarks.report.sections import measures
from benchmarks.report.sections.measures import measures_section
from infer.bundle.confidence import Confidence

Make = Callable[..., dict[str, Any]]
CELLS = ("paddle:fp32", "onnxruntime:fp32", "onnxruntime:int8")


def tables(results: dict[str, Any]) -> dict[str, Table]:
    """The tables by the first word of their captions."""
    section = measures_section(results)
    assert not section.sentences and not section.bullets
    return {table.caption.split()[0].strip(":,"): table for table in section.tables}


def test_each_measure_is_one_folded_table(make_results: Make) -> None:
    results = make_results(clips=600)
    found = tables(results)
    assert list(found) == ["Flips", "Every", "Recall", "The"]  # no logits: no calibration
    assert all(table.folded for table in found.values())
    for table in found.values():
        assert all(len(row) == len(table.heads) for row in table.rows)
    int8 = results["cells"][2]
    share = 100 * int8["student"]["flips"]["right_to_wrong"]["point"]
    assert share > 0 and str(found["Flips"].rows[2][4]).startswith(f"{share:.2f} %")
    matrix = np.array([row[1:] for row in found["The"].rows], int)
    assert matrix.sum() == 600 and matrix.shape == (6, 7)
    assert "ONNX Runtime fp32" in found["The"].caption  # the deployment that passes


def test_calibration_stands_where_there_are_logits(make_results: Make) -> None:
    results = make_results(clips=600)
    labels = np.array(results["data"]["labels"])
    rng = np.random.default_rng(0)
    logits = {cell: [3 * np.eye(6)[labels] + rng.normal(size=(600, 6))] for cell in CELLS}
    add_calibrations(
        results["cells"], {"baseline": logits, "student": logits}, reference=CELLS[0],
        labels=labels, bootstrap={"resamples": 100, "seed": 0, "level": 0.95},
    )  # fmt: skip
    table = tables(results)["Calibration"]
    assert len(table.rows) == 6 and all(len(row) == len(table.heads) for row in table.rows)
    stored = results["cells"][2]["student"]["calibration"]
    assert str(table.rows[5][1]).startswith(f"{100 * stored['before']['ece']['point']:.2f} %")
    after = stored["after"]["ece"]["by_chance"]
    assert str(table.rows[5][4]) == f"{100 * after:.2f} %"
    assert "\u2212" in str(table.rows[5][5]) or "+" in str(table.rows[5][5])


def test_conditions_stand_open_and_first(make_results: Make) -> None:
    results = make_results(clips=600)
    for row in results["cells"][1:]:
        apply_conditions(row, {"flips": 0.001, "class-fall": 0.5})
    table = measures_section(results).tables[0]
    assert not table.folded and len(table.rows) == 4
    styles = [cell.style for row in table.rows for cell in row if isinstance(cell, Badge)]
    assert styles[:2] == ["pass", "pass"] and styles[3] == "pass" and styles[2] != "pass"


def test_of_many_classes_the_worst_and_the_most_frequent_confusions_are_shown(
    make_results: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measures, "MOST_CLASSES", 2)
    monkeypatch.setattr(measures, "MOST_COLUMNS", 2)
    found = tables(make_results(clips=600))
    assert len({str(row[0]).split(",")[0] for row in found["Recall"].rows}) == 2
    assert "confusions" in found["The"].caption and 0 < len(found["The"].rows) <= 2


def test_a_class_that_collapsed_is_named(make_results: Make) -> None:
    results = make_results(clips=600)
    results["cells"][2]["verdict"]["collapsed_classes"] = [
        {"model": "student", "pair": 0, "class": 2, "clips": 100, "before": 80, "after": 0}
    ]
    row = tables(results)["Every"].rows[5]
    assert row[0] == "student, ONNX Runtime int8" and row[3] == "grows"


def test_precision_goals_stand_where_the_bundles_have_thresholds(make_results: Make) -> None:
    results = make_results(clips=600)
    labels = np.array(results["data"]["labels"])
    rng = np.random.default_rng(0)
    honest = np.eye(6)[labels] * 2 + rng.normal(size=(600, 6))
    honest[:5] = np.nan  # clips that could not be read
    logits = {cell: [honest * scale] for cell, scale in zip(CELLS, (1, 1, 0.25), strict=True)}
    said = Confidence(1.0, {0.8: 0.5, 0.9: 2.0})
    add_accepted(
        results["cells"], {"baseline": logits, "student": logits},
        {"baseline": [None], "student": [said]},
        labels=labels, bootstrap={"resamples": 100, "seed": 0, "level": 0.95},
    )  # fmt: skip
    assert all("accepted" not in row["baseline"] for row in results["cells"])
    first, none = results["cells"][0]["student"]["accepted"]
    values = honest[5:]
    scores = np.exp(values) / np.exp(values).sum(axis=1, keepdims=True)
    taken = scores.max(axis=1) >= 0.5
    assert first["share"]["point"] == pytest.approx(taken.sum() / 600)
    right = values.argmax(axis=1) == labels[5:]
    assert first["precision"]["point"] == pytest.approx(right[taken].mean())
    assert first["precision"]["low"] < first["precision"]["point"] < first["precision"]["high"]
    assert none["precision"] is None and none["share"]["point"] == 0
    less = results["cells"][2]["student"]["accepted"][0]["share"]["point"]
    assert less < first["share"]["point"] / 2  # int8 that is less sure
    table = tables(results)["Precision"]
    assert table.folded and len(table.rows) == 6
    assert all(len(row) == len(table.heads) for row in table.rows)
