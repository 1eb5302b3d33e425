"""A precision that fails is left out, and the bundle is written with the others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import pytest
from paddle import nn

import export.assemble.artifacts
from export.__main__ import main
from export.assemble.accept import input_layer
from export.assemble.bundle import ExportOptions, export_bundle
from export.clips import selection
from export.option_limits import OptionError
from export.verify.limits import FLOAT16, FLOAT32
from export.verify.parity import VerificationError, check_logits, dynamic
from infer.bundle.bundle import Bundle
from infer.runtimes.open import open_runtime
from infer.system.errors import BackendError
from tests.export.conftest import QUICK

FLOATS = {"onnx.fp32", "onnx.fp16", "paddle.fp32"}
EIGHT = {"onnx.int8", "onnx.int8.x86"}


def test_a_clip_with_tiny_logits_refuses_nothing(
    experiment: Callable[..., Any], tmp_path: Path
) -> None:
    """Rounding makes errors of one size on all clips: divided by this one's logits, it is large."""
    made = experiment("single")
    checks = selection.verification(made.cfg, count=0, parity=1)
    student = made.recognizer.student
    run = dynamic(nn.Sequential(input_layer(made.cfg.specs["valid"]), student))
    weights = made.recognizer.state_dict()
    weights["backbone.fc.bias"].set_value(
        weights["backbone.fc.bias"].numpy() - run(checks.clips[:1])[0]
    )
    tiny, others = (
        np.abs(run(clip[None])).max() for clip in (checks.clips[0], checks.clips[0] * 0)
    )
    assert tiny < 1e-4 * others
    checkpoint = tmp_path / "tiny.pdparams"
    paddle.save(weights, str(checkpoint))
    folder = export_bundle(made.cfg, checkpoint, tmp_path / "bundle", options=QUICK)
    bundle = Bundle.load(folder)
    assert set(bundle.artifacts) == FLOATS | EIGHT
    assert "left_out" not in bundle.raw
    half = bundle.artifacts["onnx.fp16"].parity["list"]
    assert half["max_share"] < 0.01


# What rounding explains, by logits and by answers.

CLIPS = [f"{index}.mp4" for index in range(50)]


def logits() -> np.ndarray:
    """50 clips of four classes, the first wins by 4 of 10, but on the last clip by a hair."""
    found = np.tile(np.array([10.0, 6.0, 0.0, -3.0]), (50, 1))
    found[-1, 1] = 9.95
    return found


def moved(clip: int, values: tuple[float, ...]) -> np.ndarray:
    found = logits()
    found[clip, : len(values)] += values
    return found


@pytest.mark.parametrize(
    "found",
    [
        pytest.param(moved(3, (0.4, 0.4)), id="one clip further off, same answer"),
        pytest.param(moved(49, (-0.05, 0.05)), id="another answer where two classes tie"),
        pytest.param(logits() + 0.09, id="all clips a little off"),
    ],
)
def test_rounding_explains_it(found: np.ndarray) -> None:
    check_logits("fp16", logits(), found, clips=CLIPS, limits=FLOAT16)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        pytest.param(moved(3, (0.6,)), "0.06 of the largest logit", id="one clip far off"),
        pytest.param(logits() + 0.2, "typically by 0.02", id="all clips off"),
    ],
)
def test_rounding_does_not_explain_it(found: np.ndarray, words: str) -> None:
    with pytest.raises(VerificationError, match=words) as caught:
        check_logits("fp16", logits(), found, clips=CLIPS, limits=FLOAT16)
    assert "bug" not in str(caught.value)


def test_another_answer_than_a_clear_one_is_named_with_its_clip() -> None:
    reference = logits()
    reference[7, 1] = 9.5
    found = reference.copy()
    found[7, :2] = 9.7, 9.9  # within the logits' limits, twice as far as two may be from a tie
    with pytest.raises(VerificationError, match=r"nearly tie: 1 of 50\n.*7\.mp4"):
        check_logits("fp16", reference, found, clips=CLIPS, limits=FLOAT16)


@pytest.mark.parametrize(("share", "bug"), [(5e-4, False), (0.01, True)])
def test_a_bug_is_only_what_rounding_cannot_be(share: float, bug: bool) -> None:
    with pytest.raises(VerificationError) as caught:
        check_logits("fp32", logits(), logits() + 10 * share, clips=CLIPS, limits=FLOAT32)
    assert ("bug" in str(caught.value)) == bug


# What is left out, and what is an error.


@pytest.fixture
def wrong_fp16(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every weight of the float16 file is right; the slopes of the leaky ReLUs are not."""
    to_half = export.assemble.artifacts.to_half

    def wrong(source: Path, target: Path) -> onnx.ModelProto:
        model = to_half(source, target)
        for node in model.graph.node:
            for attribute in node.attribute:
                if node.op_type == "LeakyRelu":
                    attribute.f = 0.2
        onnx.save(model, str(target))
        return model

    monkeypatch.setattr(export.assemble.artifacts, "to_half", wrong)


def command(made: Any, target: Path, *more: str) -> list[str]:
    return [
        *("--checkpoint", str(made.checkpoint), "-c", str(made.config), "--out", str(target)),
        *("--threads", "1", "--max-batch", "3", "--calibration-clips", "3", *more),
    ]


@pytest.mark.usefixtures("wrong_fp16")
def test_a_wrong_fp16_network_is_left_out_and_an_error_where_it_is_required(
    experiment: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, target = experiment("resnet"), tmp_path / "bundle"
    assert main(command(made, target, "--require", "int8,fp16")) == 1
    said = capsys.readouterr().err
    assert "ONNX Runtime fp16" in said
    assert "No bundle" in said
    assert not list(tmp_path.iterdir())

    assert main(command(made, target, "--require", "int8")) == 0
    out, said = capsys.readouterr()
    assert out.splitlines()[-1].startswith("done")
    assert said.startswith("warning: model.fp16.onnx")
    assert "--require fp16" in said
    assert "bug" not in said
    bundle = Bundle.load(target)
    assert set(bundle.artifacts) == {"onnx.fp32", "paddle.fp32"} | EIGHT
    assert "ONNX Runtime fp16" in bundle.raw["left_out"]["onnx.fp16"]
    assert not (target / "model.fp16.onnx").exists()
    with pytest.raises(BackendError, match="left out"):
        open_runtime(bundle, backend="onnxruntime", precision="fp16")


def test_an_fp16_that_cannot_be_made_is_left_out(
    experiment: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fails(source: Path, target: Path) -> None:
        target.write_bytes(b"a half")
        raise OverflowError("65504")

    monkeypatch.setattr(export.assemble.artifacts, "to_half", fails)
    caplog.set_level("WARNING", "clipduet")  # Paddle lets everything else through
    made = experiment("single")
    options = ExportOptions(max_batch=1, int8=(), threads=1, workers=0)
    folder = export_bundle(made.cfg, made.checkpoint, tmp_path / "b", options=options)
    assert [path.name for path in sorted(folder.glob("*"))] == [
        *("bundle.json", "model.fp32.onnx", "paddle"),
    ]
    (line,) = caplog.messages
    assert "OverflowError: 65504" in line


def test_int8_that_misses_its_goal_is_left_out(
    experiment: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, target = experiment("single"), tmp_path / "bundle"
    missed = ["--int8-goal", "0.5", "--int8-least", "100", "--int8-most", "0"]
    assert main(command(made, target, *missed, "--require", "int8")) == 1
    assert "No bundle" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert main(command(made, target, *missed)) == 0
    said = capsys.readouterr().err
    assert said.count("warning: ") == 2
    assert "make qat" in said
    raw = json.loads((target / "bundle.json").read_text())
    assert set(raw["artifacts"]) == FLOATS
    assert set(raw["left_out"]) == EIGHT


@pytest.mark.parametrize(
    ("require", "changes", "words"),
    [
        ("fp61", {}, "'fp61'; allowed: fp16, int8"),
        ("fp16", {"fp16": False}, "--no-fp16"),
        ("int8", {"int8": ()}, "--no-int8"),
    ],
)
def test_what_is_not_made_cannot_be_required(
    require: str, changes: dict[str, Any], words: str
) -> None:
    with pytest.raises(OptionError, match=words):
        ExportOptions(require=(require,), **changes)


@pytest.mark.parametrize(
    ("check", "lacking"),
    [
        ("export.assemble.accept.check_collapse", EIGHT),
        ("export.verify.origin.check_half_origin", {"onnx.fp16"}),
        ("export.verify.origin.check_quantized_origin", EIGHT),
    ],
)
def test_each_check_of_one_precision_leaves_out_that_one(
    experiment: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    check: str,
    lacking: set[str],
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise VerificationError(f"{check} says no")

    made = experiment("single")
    monkeypatch.setattr(check, fail)
    folder = export_bundle(made.cfg, made.checkpoint, tmp_path / "bundle", options=QUICK)
    bundle = Bundle.load(folder)
    assert set(bundle.artifacts) == (FLOATS | EIGHT) - lacking
    assert bundle.raw["left_out"] == dict.fromkeys(lacking, f"{check} says no")
