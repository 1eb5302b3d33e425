"""Conditions besides the gain, classes that collapse, and the summary for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import dump
from benchmarks.deployments.accuracy import Answers
from benchmarks.gate.calibrations import add_calibrations
from benchmarks.gate.compare import compare_cells
from benchmarks.gate.conditions import apply_conditions, parse_requirements, settle
from benchmarks.gate.results.result_file import FORMAT_VERSION, load_results
from benchmarks.gate.results.summary import summary_record
from benchmarks.gate.sentences.explanations import verdict_sentences
from benchmarks.gate.verdict import FAIL, PASS, UNCLEAR, Rule
from tests.benchmarks.gate.networks import cell, run
from tests.benchmarks.older_results import as_version_3

Make = Callable[..., dict[str, Any]]


def test_requirements_are_read_as_percentage_points_and_refused_together() -> None:
    assert parse_requirements(["flips=1.5", "ece-rise=2"]) == (
        {"flips": 0.015, "ece-rise": 0.02}, [],
    )  # fmt: skip
    wrong = ["flips", "flips=-1", "flips=nan", "flips=100", "sharpness=1", "ece-rise=2"]
    found, told = parse_requirements([*wrong, "ece-rise=3"])
    assert found == {"ece-rise": 0.02} and len(told) == 6
    assert "negative-flips" in told[4] and "twice" in told[5]


@pytest.mark.parametrize(
    ("by_gain", "standings", "expected"),
    [
        (PASS, ["met"], PASS), (PASS, ["met", "open"], UNCLEAR), (PASS, ["open", "missed"], FAIL),
        (UNCLEAR, ["met"], UNCLEAR), (UNCLEAR, ["missed"], FAIL), (FAIL, ["met"], FAIL),
    ],
)  # fmt: skip
def test_a_missed_condition_fails_and_an_open_one_lets_nothing_pass(
    by_gain: str, standings: list[str], expected: str
) -> None:
    assert settle(by_gain, standings) == expected


def required(results: dict[str, Any], **limits: float) -> dict[str, Any]:
    """The same results where more was asked for."""
    limits = {name.replace("_", "-"): limit for name, limit in limits.items()}
    results["rule"]["require"] = limits
    for row in results["cells"][1:]:
        apply_conditions(row, limits)
    return results


@pytest.mark.parametrize(
    ("limits", "standing", "verdict"),
    [
        ({"flips": 0.04}, "met", "pass"),
        ({"flips": 0.002}, "missed", "fail"),
        ({"flips": 0.0101}, "open", "unclear"),
        ({"negative_flips": 0.04}, "met", "pass"),
        ({"negative_flips": 0.001}, "missed", "fail"),
        ({"class_fall": 0.2}, "met", "pass"),
        ({"class_fall": 0.01}, "open", "unclear"),
        ({"ece_rise": 0.02}, "open", "unclear"),  # there are no logits
    ],
)
def test_conditions_decide_by_their_whole_interval(
    make_results: Make, tmp_path: Path, limits: dict[str, float], standing: str, verdict: str
) -> None:
    results = required(make_results(gain=0.08), **limits)
    int8 = cell(results, "onnxruntime:int8")
    (found,) = int8["verdict"]["required"]
    assert int8["verdict"]["by_gain"] == "pass"
    assert (found["found"], int8["verdict"]["verdict"]) == (standing, verdict)
    said = " ".join(verdict_sentences(results))
    assert (found["name"] in said) == (standing != "met")
    # The float deployment computes what the reference computes: nothing changed.
    same = cell(results, "onnxruntime:fp32")["verdict"]
    if found["name"] != "negative-flips":  # which is about the two models, in any deployment
        assert same["required"][0]["found"] == "met" and same["verdict"] == "pass"
    out = tmp_path / "results.json"
    out.write_text(dump(results), encoding="utf-8")
    assert load_results(out)["cells"] == results["cells"]
    int8["verdict"] |= {"verdict": "pass", "required": [{**found, "found": "met"}]}
    out.write_text(dump(results), encoding="utf-8")
    if standing != "met":
        with pytest.raises(BenchmarkError, match="conditions"):
            load_results(out)


def test_a_class_that_collapses_fails_a_deployment_whose_top1_is_kept() -> None:
    """All clips of one class of a hundred are lost, and nearly as many others are won."""
    clips, classes = 20_000, 100
    labels = np.arange(clips) % classes
    before = np.arange(clips) >= 2000
    after = before.copy()
    after[labels == 7] = False
    after[np.flatnonzero(~before & (labels != 7))[:180]] = True

    def answers(right: np.ndarray) -> Answers:
        return Answers(np.where(right, labels, (labels + 1) % classes), (~right).astype(np.int64))

    cells = {"a:fp32": [answers(before)], "b:int8": [answers(after)]}
    row = compare_cells(
        labels, classes, {"baseline": dict.fromkeys(cells, cells["a:fp32"]), "student": cells},
        reference="a:fp32", rule=Rule(), bootstrap={"resamples": 200, "seed": 0, "level": 0.95},
    )[1]  # fmt: skip
    assert row["student"]["change"]["low"] > -0.005 and not row["verdict"]["collapsed"]
    (lost,) = row["verdict"]["collapsed_classes"]
    assert (lost["model"], lost["class"], lost["after"]) == ("student", 7, 0)
    assert row["verdict"]["verdict"] == "fail"
    assert row["student"]["classes"]["change"]["largest_fall"] == 7


def test_measures_of_a_file_of_the_version_before_follow_from_its_answers(
    make_results: Make, tmp_path: Path
) -> None:
    today = make_results(gain=0.03, clips=600)
    out = tmp_path / "results.json"
    out.write_text(dump(as_version_3(today)), encoding="utf-8")
    found = load_results(out)
    assert found["format_version"] == FORMAT_VERSION and found["cells"] == today["cells"]


@pytest.mark.parametrize("part", ["flips", "classes"])
def test_measures_that_do_not_follow_from_the_answers_are_refused(
    make_results: Make, tmp_path: Path, part: str
) -> None:
    results = make_results(clips=600)
    student = results["cells"][2]["student"]
    if part == "flips":
        student["flips"]["right_to_wrong"]["point"] += 0.001
    else:
        student["classes"]["recall"][1] += 0.001
    (tmp_path / "results.json").write_text(dump(results), encoding="utf-8")
    with pytest.raises(BenchmarkError, match="do not follow"):
        load_results(tmp_path / "results.json")


def test_calibration_of_a_deployment_is_compared_with_the_reference() -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(4, size=1500)
    logits = rng.normal(size=(1500, 4)) + 1.5 * np.eye(4)[labels]
    rows: list[dict[str, Any]] = [
        {"cell": key, "baseline": {}, "student": {"flips": {}}, "verdict": {"same_network": False}}
        for key in ("a:fp32", "b:int8")
    ]
    given = {"a:fp32": [logits], "b:int8": [4 * logits]}
    add_calibrations(
        rows, {"baseline": given, "student": given}, reference="a:fp32", labels=labels,
        bootstrap={"resamples": 300, "seed": 0, "level": 0.95},
    )  # fmt: skip
    assert "change" not in rows[0]["student"]["calibration"]
    assert rows[1]["student"]["calibration"]["change"]["ece"]["low"] > 0.02
    rows[1]["verdict"]["verdict"] = PASS
    apply_conditions(rows[1], {"ece-rise": 0.02})
    assert rows[1]["verdict"]["verdict"] == FAIL and rows[1]["verdict"]["by_gain"] == PASS


def test_the_summary_names_the_quickest_deployment_that_passes(make_results: Make) -> None:
    cells = ("paddle:fp32", "onnxruntime:fp32", "onnxruntime:int8")
    kept, lost = make_results(int8_loss=0.0), make_results(int8_loss=0.2)
    found, failed = summary_record(kept), summary_record(lost)
    assert (found["verdict"], failed["verdict"]) == ("pass", "fail")
    assert failed["verdicts"] == dict(zip(cells, ("reference", "pass", "fail"), strict=True))
    assert found["deployment"]["cell"] == cells[2] and failed["deployment"]["cell"] == cells[1]
    assert found["deployment"]["retained_gain"]["point"] == pytest.approx(1)
    assert 0 < found["deployment"]["latency_seconds"]["p50"] < 0.02
    assert found["gain"]["point"] == kept["cells"][0]["gain"]["point"]
    assert found["gain"]["significant"] and found["task"]["clips"] == 2000
    assert found["model"]["name"] == "student"
    none = make_results(clips=300, speed=False)
    none["cells"] = none["cells"][:1]
    assert summary_record(none)["deployment"] is None
    assert summary_record(none)["verdict"] == "unclear"


@pytest.mark.usefixtures("tried")
def test_the_gate_takes_conditions_and_writes_a_summary(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "a.json"
    given = ("good", "good", out, "--no-latency", "--margin", "20")
    assert run(world, *given, "--require", "sharp=1", "--require", "flips=-1") == 2
    error = capsys.readouterr().err
    assert "sharp=1" in error and "flips=-1" in error and not out.exists()
    assert run(world, *given, "--require", "flips=1", "--strict") == 1
    assert run(world, *given, "--require", "flips=40", "--require", "ece-rise=60") == 0
    found = load_results(out)
    assert found["rule"]["require"] == {"flips": 0.4, "ece-rise": 0.6}
    summary = json.loads((tmp_path / "a.summary.json").read_text(encoding="utf-8"))
    assert summary["format"] == "clipduet-gate-summary" and summary["verdict"] == "pass"
    assert summary["deployment"]["cell"] == "onnxruntime:int8"
    assert summary["deployment"]["latency_seconds"] is None
