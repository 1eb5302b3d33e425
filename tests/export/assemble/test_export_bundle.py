"""The whole way from a checkpoint to a bundle, and everything that must stop it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import pytest

from export.assemble.bundle import export_bundle
from export.clips import selection
from export.network.deploy import DeployNet
from export.network.fuse import fuse
from export.network.sessions import cpu_session
from export.verify import origin
from export.verify.parity import VerificationError, gap
from infer.bundle.bundle import Bundle
from infer.bundle.known_answers import KNOWN_CLIPS
from infer.containers.decoder import installed
from infer.runtimes.open import open_runtime
from tests.export.conftest import QUICK
from tests.trees import tree
from train.distill.build_recognizer import build_recognizer

KINDS = ["single", "attention", "pair", "resnet"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_artefact_runs_and_agrees(kind: str, exported: Callable[..., Any]) -> None:
    made = exported(kind)
    bundle = Bundle.load(made.folder)
    drawn = selection.calibration(made.experiment.cfg, count=6)
    clips = drawn.clips
    logits = {}
    for backend, precision in (
        ("onnxruntime", "fp32"),
        ("paddle", "fp32"),
        ("onnxruntime", "int8"),
    ):
        with open_runtime(bundle, backend=backend, precision=precision, threads=1) as runtime:
            logits[backend, precision] = runtime.run(clips)
            assert runtime.max_batch == 5
    reference = logits["paddle", "fp32"]
    assert gap(reference, logits["onnxruntime", "fp32"]).share < 1e-5
    assert 1e-5 < gap(reference, logits["onnxruntime", "int8"]).share < 0.3


@pytest.mark.parametrize("kind", KINDS)
def test_the_description_is_complete(kind: str, exported: Callable[..., Any]) -> None:
    made = exported(kind)
    bundle = Bundle.load(made.folder)
    assert bundle.name == kind
    assert bundle.classes == ("left", "right", "up", "down", "still")
    assert set(bundle.artifacts) == {
        *("onnx.fp32", "onnx.fp16", "onnx.int8", "onnx.int8.x86", "paddle.fp32")
    }
    listed = {path.relative_to(made.folder) for a in bundle.artifacts.values() for path in a.paths}
    found = {Path(name) for name in tree(made.folder)}
    assert found == listed | {Path("bundle.json"), Path(KNOWN_CLIPS)}
    for key in bundle.artifacts:
        bundle.artifact(key)  # checks sizes and checksums
    exact = [bundle.artifacts[key] for key in ("onnx.fp32", "paddle.fp32")]
    for artifact in exact:
        assert artifact.parity["batch_sizes"] == [1, 2, 3, 5]
        assert artifact.parity["clips"] == 4
        assert artifact.parity["max_share"] < 1e-5 < artifact.parity["tolerance"]
        assert artifact.parity["list"]["top1_agreement"] == 1
        assert artifact.accuracy["top1"] == exact[0].accuracy["top1"]
    for artifact in bundle.artifacts.values():
        assert artifact.accuracy["listed"] == artifact.accuracy["decoded"] == 4
    assert bundle.model["parameters"] == sum(
        int(np.prod(v.shape))
        for v in fuse(made.experiment.recognizer.student).state_dict().values()
    )
    source = bundle.raw["origin"]
    assert source["config"] == str(made.experiment.config)
    assert source["config_sha256"] == made.experiment.cfg.sha256()
    assert source["checkpoint"]["file"] == str(made.experiment.checkpoint)
    assert {"paddlepaddle", "paddle2onnx", "onnx", "onnxruntime"} <= set(source["tools"])
    assert source["decoder"] == installed() == bundle.decoder
    assert any("parity" in line for line in made.said)


@pytest.mark.parametrize("kind", ["single", "resnet"])
def test_known_answers_are_those_of_the_8_bit_files_as_they_are_written(
    kind: str, exported: Callable[..., Any]
) -> None:
    made = exported(kind)
    bundle = Bundle.load(made.folder)
    known = bundle.known_answers
    assert known is not None
    clips = np.fromfile(made.folder / KNOWN_CLIPS, np.uint8).reshape(-1, *bundle.spec.clip_shape)
    drawn = selection.calibration(made.experiment.cfg, count=QUICK.calibration_clips).clips
    assert 1 <= len(clips) <= 4 and np.array_equal(clips, drawn[: len(clips)])
    assert known.logits.keys() == known.limits.keys() == {"onnx.int8", "onnx.int8.x86"}
    for key, logits in known.logits.items():
        session = cpu_session(bundle.artifacts[key].paths[0], threads=1, exact=True)
        np.testing.assert_allclose(session.run(None, {"clip": clips})[0], logits, atol=1e-4)
        assert known.limits[key] >= 0.1


def test_nothing_of_the_teacher_is_in_the_bundle(exported: Callable[..., Any]) -> None:
    made = exported("pair")
    teacher = made.experiment.recognizer.networks["Teacher"]
    tensors = [v.numpy() for v in teacher.state_dict().values()]
    tensors += [v.numpy() for v in fuse(teacher).state_dict().values()]
    files = tree(made.folder)
    student = fuse(made.experiment.recognizer.student)
    net = DeployNet(student, made.experiment.cfg.specs["valid"])
    own = [v.numpy() for v in net.tensors().values()]
    assert all(any(v.tobytes() in file for file in files.values()) for v in own if v.ndim == 4)
    for value in tensors:
        assert not any(value.tobytes() in file for file in files.values())
    names = {i.name for i in onnx.load(str(made.folder / "model.fp32.onnx")).graph.initializer}
    assert not [name for name in names if "teacher" in name.lower() or "bb_" in name]


def test_a_foreign_weight_would_be_found(exported: Callable[..., Any]) -> None:
    made = exported("pair")
    model = onnx.load(str(made.folder / "model.fp32.onnx"))
    tensors = origin.onnx_tensors(model)
    own = {name: value for name, value in tensors.items() if value.dtype == np.float32}
    weight = made.experiment.recognizer.networks["Teacher"].state_dict()["1.fc.weight"].numpy()
    foreign = {"Teacher.1.fc.weight": weight}
    assert origin.check_origin("x.onnx", tensors, own, foreign) == sum(v.size for v in own.values())
    with pytest.raises(VerificationError, match=r"hidden \[5, 64\] belongs to Teacher.1.fc.weight"):
        origin.check_origin("x.onnx", tensors | {"hidden": weight.T}, own, foreign)
    lost = "backbone.stem.0.conv.weight"
    with pytest.raises(VerificationError, match=rf"{lost} \[8, 3, 3, 3\]"):
        origin.check_origin("x", {k: v for k, v in tensors.items() if k != lost}, own, foreign)
    with pytest.raises(VerificationError, match=r"backbone.fc.weight .* is Teacher.1.fc.weight"):
        origin.check_distinct(own | {"backbone.fc.weight": weight}, own, foreign)
    halves = origin.onnx_tensors(onnx.load(str(made.folder / "model.fp16.onnx")))
    origin.check_half_origin("x.onnx", halves, own, foreign)
    rolled = halves | {lost: np.roll(halves[lost], 1, axis=0)}
    with pytest.raises(VerificationError, match=rf"{lost} .* no network"):
        origin.check_half_origin("x.onnx", rolled, own, foreign)
    for file in ("model.int8.x86.onnx", "model.int8.onnx"):
        quantized = origin.onnx_tensors(onnx.load(str(made.folder / file)))
        origin.check_quantized_origin("x.onnx", quantized, own)
    name = "backbone.last_conv.weight_quantized"
    turned = {**quantized, name: np.roll(quantized[name], 1, axis=0)}
    with pytest.raises(VerificationError, match=r"is not backbone\.last_conv\.weight, rounded"):
        origin.check_quantized_origin("x.onnx", turned, own)


def test_a_video_that_cannot_be_read_counts_as_wrong(
    experiment: Callable[..., Any], clips: Path, tmp_path: Path
) -> None:
    (clips / "broken.mp4").write_bytes(b"not a video")
    (clips / "half.list").write_text("broken.mp4 1\nclip 6.mp4 1\nclip 7.mp4 2\n")
    made = experiment("single", valid={"format": "VideoDataset", "file_path": "half.list"})
    folder = export_bundle(
        made.cfg, made.checkpoint, tmp_path / "b", options=replace(QUICK, fp16=False, int8=())
    )
    artifacts = Bundle.load(folder).artifacts
    assert set(artifacts) == {"onnx.fp32", "paddle.fp32"}
    for artifact in artifacts.values():
        assert (artifact.accuracy["listed"], artifact.accuracy["decoded"]) == (3, 2)
        assert artifact.parity["clips"] == 2


def test_latest_is_a_checkpoint_too(experiment: Callable[..., Any], tmp_path: Path) -> None:
    made = experiment("single")
    latest = tmp_path / "latest.ckpt"
    state = made.recognizer.state_dict()
    progress = {"epoch": 7, "step": 70}
    paddle.save({"format": 1, "model": state, "optimizer": {}, "progress": progress}, str(latest))
    options = replace(QUICK, fp16=False, int8=(), name="other")
    bundle = Bundle.load(export_bundle(made.cfg, latest, tmp_path / "b", options=options))
    assert bundle.name == "other"
    assert bundle.raw["origin"]["checkpoint"]["epoch"] == 7


def test_a_network_that_never_trained_exports(
    experiment: Callable[..., Any], tmp_path: Path
) -> None:
    """Its biases are zero, and simplifiers leave additions of zero out."""
    made = experiment("attention")
    fresh = build_recognizer(made.cfg.model, seed=0)
    assert not fresh.state_dict()["backbone.fc.bias"].numpy().any()
    checkpoint = tmp_path / "fresh.pdparams"
    paddle.save(fresh.state_dict(), str(checkpoint))
    folder = export_bundle(made.cfg, checkpoint, tmp_path / "b", options=QUICK)
    expected = sum(v.size for v in fuse(fresh.student).state_dict().values())
    assert Bundle.load(folder).model["parameters"] == expected


def test_classes_without_names_are_numbered(experiment: Callable[..., Any], tmp_path: Path) -> None:
    made = experiment("single", classes=None)
    options = replace(QUICK, fp16=False, int8=(), max_batch=1)
    bundle = Bundle.load(export_bundle(made.cfg, made.checkpoint, tmp_path / "b", options=options))
    assert bundle.classes == ("class_0", "class_1", "class_2", "class_3", "class_4")
    assert bundle.artifacts["onnx.fp32"].parity["batch_sizes"] == [1]
