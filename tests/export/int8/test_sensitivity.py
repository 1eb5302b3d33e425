"""Which layers 8 bits hurt: the command, and the search that an export runs for its goal."""

from __future__ import annotations

import dataclasses
import json
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from export import sensitivity
from export.__main__ import main as export_command
from export.assemble.bundle import export_bundle
from export.clips import selection
from export.int8.defaults import Goal
from export.int8.goal import GoalError, Score
from export.int8.quantize import calibrate, quantize
from export.int8.trials import Trials, work_of
from tests.export.conftest import QUICK, SATURATES


@pytest.fixture(scope="module")
def trials(exported: Callable[..., Any]) -> Callable[..., Trials]:
    def make(activations: Any, **settings: Any) -> Trials:
        made = exported("single")
        checks = selection.verification(made.experiment.cfg, count=0, parity=1)
        clips = selection.calibration(made.experiment.cfg, count=4).clips
        calibrated = calibrate(made.folder / "model.fp32.onnx", clips, threads=1)
        return Trials(calibrated, checks.dataset, activations=activations, threads=1, **settings)

    return make


@pytest.mark.parametrize("activations", ["int8", "uint8"])
def test_sparing_layers_gives_back_what_rounding_them_took(
    activations: str, trials: Callable[..., Trials]
) -> None:
    attempt = trials(activations, reduce_range=SATURATES)
    layers = attempt.layers
    assert "backbone.last_conv" in layers
    assert not [name for name in layers if ".se." in name or "fc" in name or "pixels" in name]
    every, none = attempt(frozenset()), attempt(frozenset(layers))
    assert every.divergence > 10 * none.divergence
    assert none.agreement == 1.0
    assert none.sqnr > every.sqnr + 20
    half = attempt(frozenset(layers[: len(layers) // 2]))
    assert none.divergence < half.divergence < every.divergence


def test_a_spared_layer_is_a_float_layer(exported: Callable[..., Any]) -> None:
    file = exported("single").folder / "model.fp32.onnx"
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3), dtype=np.uint8)
    model = quantize(calibrate(file, clips, threads=1), keep_float=["backbone.last_conv"])
    names = {tensor.name for tensor in model.graph.initializer}
    assert "backbone.last_conv.weight" in names
    assert "backbone.stem.0.conv.weight_quantized" in names


def test_the_same_set_is_measured_once(
    trials: Callable[..., Trials], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempt = trials("int8")
    first = attempt(frozenset())
    monkeypatch.setattr("export.int8.trials.quantize", None)
    assert attempt(frozenset()) is first


def test_work_counts_multiply_adds(exported: Callable[..., Any]) -> None:
    model = onnx.load(str(exported("single").folder / "model.fp32.onnx"))
    work = work_of(model)
    assert sum(work.values()) == pytest.approx(1.0)
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    last, first = (
        weights[f"{name}.weight"] for name in ("backbone.last_conv", "backbone.stem.0.conv")
    )
    # Four frames each: one position after pooling, 16 x 16 of them after the stem.
    expected = (first[0] * first[1] * 9 * 256) / (last[0] * last[1])
    assert work["backbone.stem.0.conv"] / work["backbone.last_conv"] == pytest.approx(expected)


def command(made: Any, *more: str) -> list[str]:
    return [
        "--bundle", str(made.folder), "-c", str(made.experiment.config), "--threads", "1",
        "--calibration-clips", "4", *more,
    ]  # fmt: skip


def test_the_command_ranks_and_finds_nothing_to_spare(
    exported: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, out = exported("single"), tmp_path / "found.json"
    assert sensitivity.main(command(made, "--goal", "100", "--out", str(out))) == 0
    said = capsys.readouterr().out
    assert "KL alone" in said
    assert "every layer rounded" in said
    found = json.loads(out.read_text())
    assert found["reached"] is True
    assert found["search"]["spared"] == []
    ranking = found["ranking"]
    spared = [effect["spared"]["divergence"] for effect in ranking]
    assert spared == sorted(spared)
    assert {"backbone.last_conv"} < {effect["layer"] for effect in ranking}


def test_the_command_says_when_a_goal_is_out_of_reach(
    exported: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    made = exported("single")
    more = ["--least", "100", "--most", "0.3", "--no-ranking", "--activations", "uint8"]
    assert sensitivity.main(command(made, *more)) == 1
    said = capsys.readouterr().out
    assert "in float  backbone." in said
    assert "at most 30%" in said
    assert "make qat" in said


@pytest.mark.parametrize("activations", ["int8", "uint8"])
def test_the_command_that_it_prints_ships_what_it_found(
    activations: str,
    exported: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if SATURATES and activations == "uint8":
        pytest.skip("no VNNI: sums of uint8 products saturate, the two kinds need other layers")
    made, out = exported("single"), tmp_path / "found.json"
    more = ["--activations", activations, "--no-ranking", "--out", str(out)]
    sensitivity.main(command(made, *more))
    whole = json.loads(out.read_text())["search"]["before"]["divergence"]
    capsys.readouterr()
    # A goal that needs layers in float, whatever the network of this test is worth.
    monkeypatch.setattr(Score, "reaches", lambda score, goal: score.divergence < whole / 2)
    more += ["--calibrator", "minmax", "--clips", "3", "--most", "0.9", "--override", "seed=5"]
    assert sensitivity.main(command(made, *more)) == 0
    found = json.loads(out.read_text())
    assert found["search"]["spared"]
    (line,) = (s for s in capsys.readouterr().out.splitlines() if s.startswith("  to ship it: "))
    name, *arguments = shlex.split(line.partition(": ")[2].removeprefix("python -m "))
    assert name == "export"
    target = tmp_path / made.folder.name
    arguments[arguments.index("--out") + 1] = str(target)
    assert export_command([*arguments, "--threads", "1"]) == 0
    description = json.loads((target / "bundle.json").read_text())
    key = sensitivity.ARTIFACTS[activations]
    assert description["artifacts"][key]["quantization"]["search"] == found["search"]
    old = json.loads((made.folder / "bundle.json").read_text())
    for same in ("name", "max_batch"):
        assert description[same] == old[same]
    assert description["artifacts"].keys() == old["artifacts"].keys()


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["--most", "-1"], "--most is -1.0; allowed: 0 to 1"),
        (["--override", "PIPELINE.valid.sample.select_left=true"], "prepares clips"),
    ],
)
def test_wrong_use_of_the_command(
    more: list[str], words: str, exported: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    assert sensitivity.main(command(exported("single"), *more)) == 2
    assert words in capsys.readouterr().err


def test_an_export_records_what_its_goal_needed(
    experiment: Callable[..., Any], tmp_path: Path
) -> None:
    made = experiment("single")
    options = dataclasses.replace(QUICK, goal=Goal(100.0))
    export_bundle(made.cfg, made.checkpoint, tmp_path / "bundle", options=options)
    artifacts = json.loads((tmp_path / "bundle/bundle.json").read_text())["artifacts"]
    for key in ("onnx.int8", "onnx.int8.x86"):
        record = artifacts[key]["quantization"]
        assert record["search"]["goal"] == {"loss": 100.0, "least": None}
        assert record["search"]["spared"] == []
        assert artifacts[key]["parity"]["loss"]["clips"] == 4


def test_an_export_that_misses_its_required_goal_leaves_nothing(
    experiment: Callable[..., Any], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made = experiment("single")
    caplog.set_level("INFO", "clipduet")
    options = dataclasses.replace(
        QUICK, goal=Goal(0.5, least=100), most_float=0.3, require=("int8",)
    )
    with pytest.raises(GoalError, match="aware training"):
        export_bundle(made.cfg, made.checkpoint, tmp_path / "bundle", options=options)
    assert any(line.startswith("in float ") for line in caplog.messages)
    assert not list(tmp_path.iterdir())
