"""The whole way from a checkpoint to a bundle, and everything that must stop it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import pytest
from onnx import numpy_helper

import export.assemble.bundle
import export.network.convert
from export.__main__ import main
from export.assemble.bundle import ExportOptions, export_bundle
from export.assemble.describe import ExportError
from export.clips import selection
from export.network.deploy import DeployNet
from export.network.fuse import fuse
from export.option_limits import OptionError
from export.verify import origin
from export.verify.parity import VerificationError, gap
from infer.bundle.bundle import Bundle
from infer.containers.decoder import installed
from infer.runtimes.open import open_runtime
from train.config.identity import deployed
from train.distill.recognizers import build_recognizer

KINDS = ["single", "attention", "pair", "resnet"]
QUICK = ExportOptions(max_batch=3, calibration_clips=3, threads=1, workers=0)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


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
    assert found == listed | {Path("bundle.json")}
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


# What stops an export, and what it leaves behind.


@pytest.fixture
def old(exported: Callable[..., Any], tmp_path: Path) -> Path:
    """A good bundle that stands where the next one shall go."""
    return Path(shutil.copytree(exported("single").folder, tmp_path / "out" / "bundle"))


def wrong_weights(network: Any) -> Any:
    fused = fuse(network)
    for tensor in fused.state_dict().values():
        tensor.set_value(tensor.numpy() * np.float32(1.01))
    return fused


def altered_file(*arguments: Any, **options: Any) -> onnx.ModelProto:
    model = export.network.convert.to_onnx(*arguments, **options)
    (bias,) = (i for i in model.graph.initializer if i.name == "backbone.stem.0.conv.bias")
    changed = numpy_helper.to_array(bias) + np.float32(0.1)
    bias.CopyFrom(numpy_helper.from_array(changed, bias.name))
    onnx.save(model, str(arguments[2]))
    return model


def interrupted(*arguments: Any, **options: Any) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("name", "replacement", "error", "words"),
    [
        (
            "assemble.bundle.fuse",
            wrong_weights,
            VerificationError,
            ["fused network", "allowed: 0.0001"],
        ),
        (
            "assemble.artifacts.to_onnx",
            altered_file,
            VerificationError,
            ["stem.0.conv.bias [8]"],
        ),
        ("int8.files.quantize", interrupted, KeyboardInterrupt, []),
    ],
)
def test_a_failure_leaves_everything_as_it_was(
    name: str,
    replacement: Any,
    error: type[BaseException],
    words: list[str],
    old: Path,
    experiment: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made, before = experiment("single"), tree(old)
    monkeypatch.setattr(f"export.{name}", replacement)
    for target in (old, old.with_name("new")):
        with pytest.raises(error) as caught:
            export_bundle(made.cfg, made.checkpoint, target, options=QUICK)
        for word in words:
            assert word in str(caught.value)
    assert tree(old) == before
    assert [path.name for path in old.parent.iterdir()] == ["bundle"]


def test_a_graph_that_computes_something_else_is_found_by_its_answers(
    experiment: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every weight is right here; the slopes of the leaky ReLUs are not."""
    made = experiment("resnet")

    def flatten(model: onnx.ModelProto, program: dict[str, Any]) -> None:
        for node in model.graph.node:
            for attribute in node.attribute:
                if node.op_type == "LeakyRelu":
                    attribute.f = 0.0

    monkeypatch.setattr(export.network.convert, "_restore_slopes", flatten)
    with pytest.raises(VerificationError) as caught:
        export_bundle(made.cfg, made.checkpoint, tmp_path / "bundle", options=QUICK)
    for words in (
        "ONNX Runtime fp32 on one clip",
        "logits [3, 5] differ",
        "allowed: 0.0001",
        "worst clip: ",
        ".mp4",
        "constraints.txt",
    ):
        assert words in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_success_replaces_an_old_bundle_whole(old: Path, experiment: Callable[..., Any]) -> None:
    (old / "engines").mkdir()
    (old / "engines" / "stale.engine").write_bytes(b"of the old network")
    made = experiment("pair")
    export_bundle(made.cfg, made.checkpoint, old, options=replace(QUICK, fp16=False, int8=()))
    assert Bundle.load(old).raw["origin"]["checkpoint"]["file"] == str(made.checkpoint)
    assert set(tree(old)) == {
        "bundle.json",
        "model.fp32.onnx",
        "paddle/inference.json",
        "paddle/inference.pdiparams",
    }
    assert [path.name for path in old.parent.iterdir()] == ["bundle"]


def test_other_folders_and_files_are_not_replaced(
    experiment: Callable[..., Any], tmp_path: Path
) -> None:
    made = experiment("single")
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("...")
    (tmp_path / "file").write_text("...")
    for name, words in (("precious", "something else than a bundle"), ("file", "is a file")):
        with pytest.raises(Exception, match=words):
            export_bundle(made.cfg, made.checkpoint, tmp_path / name, options=QUICK)
    assert set(tree(tmp_path)) == {"precious/thesis.txt", "file"}


def test_options_out_of_range() -> None:
    for name in ("max_batch", "calibration_clips", "threads"):
        with pytest.raises(OptionError, match=f"{name.replace('_', '-')} is 0; allowed: 1 "):
            ExportOptions(**{name: 0})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("PIPELINE.valid.sample.num_seg", 99),
        ("MODEL.backbone.dropout_prob", 0.9),
        ("classes.0", "another"),
    ],
)
@pytest.mark.parametrize("record", ["best.json", "latest.ckpt"])
def test_other_settings_than_the_runs_are_refused(
    exported: Callable[..., Any], tmp_path: Path, path: str, value: Any, record: str
) -> None:
    made = exported("pair").experiment
    settings = deployed(made.cfg)
    *parents, last = path.split(".")
    block: Any = settings
    for name in parents:
        block = block[name]
    block[int(last) if last.isdigit() else last] = value
    weights = paddle.load(str(made.checkpoint))
    if record == "best.json":
        checkpoint = tmp_path / "best.pdparams"
        paddle.save(weights, str(checkpoint))
        (tmp_path / record).write_text(json.dumps({"settings": settings}))
    else:
        checkpoint = tmp_path / record
        progress = {"epoch": 1, "settings": settings}
        paddle.save({"format": 1, "model": weights, "progress": progress}, str(checkpoint))
    with pytest.raises(ExportError, match=rf"{path}: it was {value!r}"):
        export_bundle(made.cfg, checkpoint, tmp_path / "bundle", options=QUICK)
    assert not (tmp_path / "bundle").exists()


@pytest.mark.parametrize(
    "check",
    [
        "export.verify.parity.check_fusion",
        "export.verify.parity.check_batches",
        "export.verify.parity.check_answers",
        "export.assemble.accept.check_collapse",
        "export.verify.origin.check_distinct",
        "export.verify.origin.check_origin",
        "export.verify.origin.check_half_origin",
        "export.verify.origin.check_quantized_origin",
    ],
)
def test_every_check_stops_the_export(
    experiment: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str
) -> None:
    def fail(*args: Any, **options: Any) -> None:
        raise VerificationError(f"{check} says no")

    made = experiment("single")
    monkeypatch.setattr(check, fail)
    with pytest.raises(VerificationError, match=f"{check} says no"):
        export_bundle(
            made.cfg,
            made.checkpoint,
            tmp_path / "bundle",
            options=replace(QUICK, require=("all",)),
        )
    assert not list(tmp_path.iterdir())


def test_a_foreign_tensor_in_the_paddle_model_is_found(
    experiment: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = experiment("pair")
    weight = made.recognizer.networks["Teacher"].state_dict()["1.fc.weight"].numpy()
    tensors = origin.paddle_tensors
    monkeypatch.setattr(origin, "paddle_tensors", lambda path: {**tensors(path), "x": weight})
    with pytest.raises(VerificationError, match=r"paddle .*\n  x .* belongs to Teacher"):
        export_bundle(made.cfg, made.checkpoint, tmp_path / "bundle", options=QUICK)


# The command.


def test_the_command_makes_a_bundle(
    experiment: Callable[..., Any], tmp_path: Path, root: Path
) -> None:
    made = experiment("pair")
    command = [sys.executable, "-m", "export", "--checkpoint", str(made.checkpoint)]
    command += ["-c", str(made.config), "--out", str(tmp_path / "b"), "--override", "seed=5"]
    command += ["--max-batch", "2", "--calibration-clips", "2", "--threads", "1"]
    command += ["--calibrator", "entropy", "--reduce-range"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = [line.split()[0] for line in done.stdout.splitlines()]
    assert steps == [
        *("strip", "note", "accuracy", "fuse", "onnx", "fp16", "int8", "int8", "paddle", "origin"),
        *("parity", "accuracy", "parity", "accuracy", "accuracy", "accuracy", "parity", "accuracy"),
        "done",
    ]
    assert done.stderr == ""
    made_of = Bundle.load(tmp_path / "b").raw
    assert made_of["origin"]["seed"] == 5
    told = made_of["artifacts"]["onnx.int8"]["quantization"]
    assert (told["activations"], told["calibrator"]) == ("int8", "entropy")
    assert told["reduce_range"] is True


def test_mistakes_end_with_2_and_a_message(
    experiment: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, other = experiment("pair"), experiment("single")
    good = ["--checkpoint", str(made.checkpoint), "-c", str(made.config)]
    target = ["--out", str(tmp_path / "b")]
    for arguments, words in (
        (
            ["--checkpoint", str(other.checkpoint), "-c", str(made.config)],
            "one network (Recognizer2D)",
        ),
        (["--checkpoint", str(tmp_path / "no.pdparams"), "-c", str(made.config)], "no checkpoint"),
        (["--checkpoint", str(tmp_path / "no.pdparams")], "no.pdparams; a run leaves best"),
        (["--checkpoint", str(made.config), "-c", str(made.config)], "not a readable checkpoint"),
        (["--checkpoint", str(made.checkpoint), "-c", str(tmp_path / "no.yaml")], "no.yaml"),
        ([*good, "--override", "DATASET.valid.file_path=no.list"], "no.list"),
        ([*good, "--override", "DATASET.classes=[a, b]"], "classes"),
        ([*good, "--max-batch", "0"], "max-batch is 0"),
        ([*good, "--int8-most", "0.5"], "--int8-most needs --int8-goal"),
        ([*good, "--int8-goal", "1", "--int8-most", "-1"], "int8-most is -1.0; allowed: 0 to 1"),
    ):
        assert main([*arguments, *target]) == 2, arguments
        captured = capsys.readouterr()
        assert captured.err.startswith("error: "), captured.err
        assert words in captured.err
        assert "Traceback" not in captured.err
    assert not list(tmp_path.iterdir())


def test_a_failed_verification_ends_with_1(
    experiment: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = experiment("single")
    monkeypatch.setattr(export.assemble.bundle, "fuse", wrong_weights)
    arguments = ["--checkpoint", str(made.checkpoint), "-c", str(made.config), "--threads", "1"]
    assert main([*arguments, "--out", str(tmp_path / "b"), "--no-int8"]) == 1
    said = capsys.readouterr().err
    assert "fused network" in said
    assert "No bundle" in said
    assert not list(tmp_path.iterdir())


def test_classes_without_names_are_numbered(experiment: Callable[..., Any], tmp_path: Path) -> None:
    made = experiment("single", classes=None)
    options = replace(QUICK, fp16=False, int8=(), max_batch=1)
    bundle = Bundle.load(export_bundle(made.cfg, made.checkpoint, tmp_path / "b", options=options))
    assert bundle.classes == ("class_0", "class_1", "class_2", "class_3", "class_4")
    assert bundle.artifacts["onnx.fp32"].parity["batch_sizes"] == [1]
