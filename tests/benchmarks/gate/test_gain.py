"""The whole gate on real video files and tiny ONNX networks made by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.gate.results.result_file import load_results
from benchmarks.pages.numbers import NOT_DISTINGUISHABLE
from tests.benchmarks.gate.networks import cell, run

pytestmark = pytest.mark.usefixtures("tried")


def test_a_gain_that_deployment_lost_fails_the_gate(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "results.json"
    assert run(world, "blind", "lossy", out, "--no-latency") == 1
    results = load_results(out)
    fp32, int8 = results["cells"]
    assert results["reference"] == fp32["cell"] == "onnxruntime:fp32"
    assert "paddle" in results["reference_instead_of"]  # Paddle is the usual one
    assert fp32["baseline"]["top1"]["point"] == pytest.approx(20 / 30)
    assert fp32["student"]["top1"]["point"] == pytest.approx(29 / 30)  # the broken clip is wrong
    assert fp32["gain"]["distinguishable"] and fp32["gain"]["only_second"] == 9
    assert int8["gain"]["point"] == 0 and int8["gain_left"]["share"]["point"] == 0
    assert int8["verdict"]["verdict"] == "fail"
    assert results["data"]["listed"] == 30 and results["data"]["decoded"] == 29
    assert [row["path"] for row in results["data"]["failed"]] == ["clip 29.mp4"]
    assert fp32["pairs"][0]["student"]["predictions"][29] == -1
    # These networks look at mean colours: the order of the frames is nothing to them.
    shuffled = {r["model"]: r["top1"] for r in results["controls"] if "order" in r["control"]}
    assert shuffled == {model: fp32[model]["top1"] for model in ("baseline", "student")}
    said = capsys.readouterr().out
    assert "30.00 points" in said and "ONNX Runtime int8 fails" in said


def test_noise_in_one_layer_fails_the_gate(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    assert run(world, "blind", "noisy", out, "--no-latency") == 1
    results = load_results(out)
    assert cell(results, "onnxruntime:fp32")["student"]["top1"]["point"] > 0.9
    assert cell(results, "onnxruntime:int8")["verdict"]["verdict"] == "fail"
    # The same without noise: no loss of 15 points, which is what 30 clips can show.
    assert run(world, "blind", "good", out, "--no-latency", "--margin", "15") == 0
    assert cell(load_results(out), "onnxruntime:int8")["verdict"]["verdict"] == "pass"
    assert "ONNX Runtime int8 passes" in capsys.readouterr().out


def test_identical_models_give_no_gain_and_no_share_of_it(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    assert run(world, "good", "good", out, "--no-latency") == 0
    results = load_results(out)
    for row in results["cells"]:
        assert row["gain"]["point"] == 0 and row["gain"]["p"] == 1
    # Thirty clips on which nothing changed prove no loss below half a point.
    found = results["cells"][1]["verdict"]
    assert found["verdict"] == "unclear" and not found["gain_is_real"]
    assert found["clips_needed"] > 700 and found["clips_range"][0] <= found["clips_needed"]
    said = capsys.readouterr().out
    assert NOT_DISTINGUISHABLE in said and "gains" not in said
    assert run(world, "good", "good", out, "--no-latency", "--strict") == 1
    assert run(world, "good", "good", out, "--no-latency", "--strict", "--margin", "20") == 0


def test_several_pairs_are_one_recipe(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    assert run(world, "blind blind", "good lossy", out, "--no-latency", "--margin", "12") == 1
    results = load_results(out)
    assert len(results["pairs"]) == 2
    int8 = cell(results, "onnxruntime:int8")
    assert [pair["verdict"] for pair in int8["pairs"]] == ["pass", "fail"]
    assert int8["gain"]["point"] == pytest.approx((9 + 0) / 60)
    # What the second pair does would be inconclusive, but it no longer recognises a class.
    assert int8["verdict"]["change"]["low"] < -0.12 < int8["verdict"]["change"]["high"]
    (lost,) = int8["verdict"]["collapsed_classes"]
    assert lost == {"model": "student", "pair": 1, "class": 2, "clips": 10, "before": 9, "after": 0}
    assert int8["verdict"]["verdict"] == "fail"
    assert run(world, "blind blind", "good", out, "--no-latency") == 2


def test_a_failed_gate_writes_its_report_and_may_be_told_only(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pages = tmp_path / "pages"
    for more, status in (([], 1), (["--tell-only"], 0)):
        options = ["--no-latency", "--report", str(pages), *more]
        assert run(world, "good", "stuck", tmp_path / "results.json", *options) == status
        assert "a deployment fails the gate" in capsys.readouterr().err
        (pages / "report.md").unlink()


def test_one_answer_for_every_clip_is_named(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(world, "good", "stuck", tmp_path / "results.json", "--no-latency") == 1
    said = capsys.readouterr().out
    assert "the student answers" in said and "29 of 29 clips" in said
    found = cell(load_results(tmp_path / "results.json"), "onnxruntime:int8")["verdict"]
    (model,) = found["collapsed"]
    assert model["model"] == "student" and model["answers"] == model["clips"] == 29
    assert found["verdict"] == "fail"


def test_a_collapsed_pair_that_is_equal_everywhere_does_not_pass(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both answer one class in every deployment alike, to rounding: nothing is lost, or gained."""
    assert run(world, "collapsed", "collapsed", tmp_path / "results.json", "--no-latency") == 1
    said = capsys.readouterr().out
    results = load_results(tmp_path / "results.json")
    assert not any(row["verdict"]["verdict"] == "pass" for row in results["cells"])
    assert {one["model"] for one in results["cells"][0]["verdict"]["collapsed"]} == {
        "baseline",
        "student",
    }
    assert "no deployment passes" in said and "passes the gate" not in said


def test_what_gives_no_numbers_fails_and_is_not_timed(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    assert run(world, "good", "nan", out, "--seconds", "0.1") == 1
    results = load_results(out)
    (broken,) = results["broken"]
    assert broken["cell"] == "onnxruntime:int8" and "NaN" in broken["reason"]
    assert [row["cell"] for row in results["cells"]] == ["onnxruntime:fp32"]
    assert [row["cell"] for row in results["speed"]["cells"]] == ["onnxruntime:fp32"]
    assert "ONNX Runtime int8 fails" in capsys.readouterr().out


@pytest.mark.parametrize("option", ["--data", "--baseline", "--out"])
def test_a_circle_of_links_is_wrong_use(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    out = tmp_path / "results.json"
    circle = [option, str(tmp_path / "one")]
    assert run(world, "good", "blind", out, "--no-latency", *circle) == 2
    assert "symbolic links" in capsys.readouterr().err
