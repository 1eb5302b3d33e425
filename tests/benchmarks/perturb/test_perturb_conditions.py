"""`--require` on perturbed clips: what is read, how conditions stand, and what they decide."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gain import main as gain
from benchmarks.gate.results.result_file import load_results
from benchmarks.perturb.conditions import parse_requirements
from benchmarks.perturb.figures import word
from benchmarks.perturb.report import main as report
from benchmarks.perturb.result_file import overall, read_results, rows_of
from benchmarks.perturb.run import verdict_status

FP32, INT8 = "onnxruntime:fp32", "onnxruntime:int8"
CLIPS = 2000
Verdicts = dict[str, tuple[str, str | None, list[str]]]


def test_requirements_name_perturbations_or_none_and_are_refused_together() -> None:
    measured = ["crf28", "darker", "noise"]
    assert parse_requirements(["gain", "retained=noise,crf28"], measured) == (
        {"gain": measured, "retained": ["crf28", "noise"]}, [],
    )  # fmt: skip
    assert parse_requirements(["gain=all"], measured) == ({"gain": measured}, [])
    for wrong, named in (
        ("flips=1", "retained"),
        ("gain=crf44", "crf44"),
        ("gain=clean", "darker"),
        ("gain=", "gain"),
    ):
        _, (told,) = parse_requirements([wrong], measured)
        assert "--require" in told and named in told
    _, (told,) = parse_requirements(["gain", "gain=noise"], measured)
    assert "twice" in told


def said(right: int) -> list[int]:
    """Answers to clips of class 0, of which the first are right."""
    return [0] * right + [1] * (CLIPS - right)


def results(require: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """Answers where int8 retains the gain, loses it, and where there is a loss or nothing.

    The student of int8 loses nothing anywhere, so that it always passes by the gate's rule.
    """

    def one(baseline: int, student: int, int8_baseline: int) -> dict[str, Any]:
        predictions = {
            "baseline": {FP32: [said(baseline)], INT8: [said(int8_baseline)]},
            "student": {FP32: [said(student)], INT8: [said(student)]},
        }
        return {
            "title": "", "about": "", "problem": None, "failed": [], "broken": [], "same": [],
            "predictions": predictions,
        }  # fmt: skip

    return {
        "rule": {"keep": 0.8, "margin": 0.005, **({"require": require} if require else {})},
        "conditions": {"resamples": 300, "seed": 0, "level": 0.95},
        "data": {"labels": [0] * CLIPS},
        "reference": FP32,
        "perturbations": {
            "clean": one(1200, 1500, 1200),
            "crf28": one(1200, 1500, 1200),
            "darker": one(1200, 1500, 1350),
            "half_rate": one(1200, 1500, 1700),
            "third_rate": one(1500, 1200, 1500),
            "noise": one(1496, 1500, 1496),
        },
    }


def verdicts(require: dict[str, list[str]] | None) -> Verdicts:
    """Of int8 by perturbation: the verdict, the one without conditions, and how these stand."""
    found: Verdicts = {}
    for row in rows_of(results(require)):
        if row["cell"] == INT8:
            own = row["verdict"]
            standings = [one["found"] for one in own.get("required", [])]
            found[row["perturbation"]] = own["verdict"], own.get("by_gain"), standings
    return found


def test_conditions_decide_by_their_whole_interval() -> None:
    # Where the baseline catches up, nothing is lost by the student and the gain is not retained.
    caught_up = {"darker", "half_rate"}
    for name, one in verdicts(None).items():
        assert one == ("unclear" if name in caught_up else "pass", None, [])
    every = ["crf28", "darker", "half_rate", "third_rate", "noise"]
    assert verdicts({"gain": every, "retained": every}) == {
        "clean": ("pass", None, []),
        "crf28": ("pass", "pass", ["met", "met"]),
        "darker": ("fail", "unclear", ["met", "missed"]),
        "half_rate": ("fail", "unclear", ["missed", "missed"]),
        "third_rate": ("fail", "pass", ["missed", "open"]),
        "noise": ("unclear", "pass", ["open", "open"]),
    }
    limited = verdicts({"gain": ["darker"], "retained": ["crf28"]})
    assert limited["crf28"] == ("pass", "pass", ["met"])
    assert limited["darker"] == ("unclear", "unclear", ["met"])
    assert limited["noise"] == ("pass", None, []) and limited["half_rate"] == ("unclear", None, [])
    # The share of the gain that has to be retained is that of --keep.
    less = results({"retained": ["darker"]})
    less["rule"]["keep"] = 0.4
    assert all(word(row) != "fail" for row in rows_of(less) if row["perturbation"] == "darker")


def test_a_float_deployment_that_computes_the_same_retains_the_gain_on_any_clips() -> None:
    given = results({"retained": ["noise"]})
    given["perturbations"]["noise"]["same"] = [INT8]
    found = rows_of(given)[-1]
    assert (found["perturbation"], found["cell"]) == ("noise", INT8)
    assert found["verdict"]["required"][0]["found"] == "met" and word(found) == "pass"


@pytest.mark.parametrize(
    ("require", "status", "strict"),
    [
        ({"gain": ["crf28"]}, 0, 0),
        ({"gain": ["crf28", "darker"]}, 0, 1),
        ({"retained": ["darker"]}, 1, 1),
        ({"retained": ["crf28", "noise"]}, 0, 1),
    ],
)
def test_the_exit_status_follows_from_the_conditions(
    require: dict[str, list[str]], status: int, strict: int
) -> None:
    found = results(require)
    named = {"clean", *(name for names in require.values() for name in names)}
    found["perturbations"] = {
        name: one for name, one in found["perturbations"].items() if name in named
    }
    found["rows"] = rows_of(found)
    assert overall(found) == ("fail" if status else "unclear" if strict else "pass")
    for options, expected in (
        (Namespace(strict=False, tell_only=False), status),
        (Namespace(strict=True, tell_only=False), strict),
        (Namespace(strict=True, tell_only=True), 0),
    ):
        assert verdict_status(found, options) == expected


def test_the_command_takes_conditions_and_tells_them(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network instead of itself gains nothing, and loses less than half of the clips."""
    out = tmp_path / "out"
    asked = ("--perturb", "half_rate", "noise", "--margin", "50")
    required = ("--require", "gain=noise", "--require", "retained")
    assert run(out, *asked, *required, baseline="b1", student="b1") == 0
    told = capsys.readouterr().out
    found = read_results(out / "results.json")
    assert found["rule"]["require"] == {"gain": ["noise"], "retained": ["half_rate", "noise"]}
    rows = {(row["perturbation"], row["cell"]): row for row in found["rows"]}
    by_name = {
        name: [one["name"] for one in row["verdict"].get("required", [])]
        for (name, cell), row in rows.items()
        if cell == INT8
    }
    assert by_name == {"clean": [], "half_rate": ["retained"], "noise": ["gain", "retained"]}
    noise = rows["noise", INT8]["verdict"]
    assert (noise["verdict"], noise["by_gain"]) == ("unclear", "pass")
    assert noise["required"][0]["found"] == "open"
    assert noise["required"][0]["interval"]["high"] == rows["noise", INT8]["gain"]["high"]
    assert json.loads((out / "results.json").read_text())["rows"] == found["rows"]
    text = (out / "report.md").read_text(encoding="utf-8")
    page = (out / "index.html").read_text(encoding="utf-8")
    for where in (told, text, page):
        plain = where.replace("\N{NO-BREAK SPACE}", " ")
        assert "Required of ONNX Runtime int8" in plain and "80 %" in plain
    assert "Further conditions" in text and "Required besides" in text
    assert report([str(out / "results.json"), "--out", str(tmp_path / "again")]) == 0
    assert (tmp_path / "again" / "report.md").read_bytes() == (out / "report.md").read_bytes()


def test_wrong_conditions_are_told_at_once(
    run: Callable[..., int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = ("--require", "flips=1", "--require", "gain=crf44", "--keep", "0")
    assert run(tmp_path / "out", "--perturb", "noise", *wrong) == 2
    error = capsys.readouterr().err
    assert all(name in error for name in ("flips=1", "crf44", "--keep"))
    alone = ("--perturb", "noise", "--cells", FP32, "--require", "retained")
    assert run(tmp_path / "out", *alone) == 2
    assert "--require retained" in capsys.readouterr().err
    assert not (tmp_path / "out" / "results.json").exists()


def test_the_gate_hands_conditions_on_to_perturbed_clips(
    world: Path, tmp_path: Path, tried: None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    asked = [
        "--baseline", str(world / "a1"), "--student", str(world / "b1"),
        "--data", str(world / "test.list"), "--root", str(world / "clips"), "--out", str(file),
        "--resamples", "300", "--threads", "1", "--backends", "onnxruntime", "--no-latency",
        "--tell-only", "--require", "flips=40", "--require", "gain=half_rate",
    ]  # fmt: skip
    assert gain(asked) == 2
    assert "--perturb" in capsys.readouterr().err
    assert gain([*asked, "--require", "sharp", "--perturb", "noise"]) == 2
    error = capsys.readouterr().err
    assert "retained" in error and "flips" in error and "half_rate" in error
    assert gain([*asked, "--perturb", "half_rate"]) == 0
    assert load_results(file)["rule"]["require"] == {"flips": 0.4}
    perturbed = read_results(tmp_path / "perturbed" / "results.json")
    assert perturbed["rule"]["require"] == {"gain": ["half_rate"]}
