"""The ONNX graph: what is in it, what is not, and how it can be fed."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import paddle
import pytest
from onnx import numpy_helper
from paddle import nn

import export.network.convert
from export.network.captured_output import ConversionError, captured
from export.network.convert import save_paddle, to_onnx
from export.network.deploy import DeployNet
from export.network.fuse import fuse
from export.network.shift import delay_shift
from export.verify.parity import dynamic, randomise
from infer.bundle.bundle import Bundle, write_bundle_json
from infer.clips.spec import ClipSpec
from infer.system.errors import AlteredError
from train.models import build_network
from train.models.pixels import PixelInput

KINDS = ["single", "attention", "pair", "resnet"]


def model_of(made: Any) -> onnx.ModelProto:
    return onnx.load(str(made.folder / "model.fp32.onnx"))


def session(path: Path) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_holds_only_what_inference_needs(kind: str, exported: Callable[..., Any]) -> None:
    model = model_of(exported(kind))
    counts = Counter(node.op_type for node in model.graph.node)
    for unwanted in ("BatchNormalization", "Identity", "Dropout", "Constant", "Shape", "Gather"):
        assert unwanted not in counts
    # Branches are one convolution: as many nodes as kernels in the fused network.
    kernels = [i for i in model.graph.initializer if len(i.dims) == 4 and i.name.endswith("weight")]
    assert counts["Conv"] == len(kernels)
    shifts = 16 if kind == "resnet" else 1
    assert counts["Concat"] == shifts
    assert counts["Slice"] == 3 * shifts
    assert counts["Cast"] == 1, "pixels become floats once"
    (opset,) = [entry.version for entry in model.opset_import if entry.domain == ""]
    assert 17 <= opset <= 19
    assert model.ir_version <= 10


@pytest.mark.parametrize("kind", KINDS)
def test_pixels_go_in_and_logits_come_out(kind: str, exported: Callable[..., Any]) -> None:
    graph = model_of(exported(kind)).graph
    (entry,), (end,) = graph.input, graph.output
    assert (entry.name, end.name) == ("clip", "logits")
    assert entry.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert end.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    shapes = [
        [dim.dim_param or dim.dim_value for dim in port.type.tensor_type.shape.dim]
        for port in (entry, end)
    ]
    assert shapes == [["batch", 4, 32, 32, 3], ["batch", 5]]


@pytest.mark.parametrize("kind", KINDS)
def test_every_file_says_what_goes_in_and_what_comes_out(
    kind: str, exported: Callable[..., Any]
) -> None:
    """As anybody sees it who opens the file with a plain runtime."""
    made = exported(kind)
    cfg = made.experiment.cfg
    files = sorted(made.folder.glob("*.onnx"))
    assert len(files) == 4
    for file in files:
        said = session(file).get_modelmeta().custom_metadata_map
        assert json.loads(said["clipduet.classes"]) == ["left", "right", "up", "down", "still"]
        parts = {name: json.loads(said[f"clipduet.{name}"]) for name in ("sampling", "preprocess")}
        assert ClipSpec.from_dict(parts) == cfg.specs["valid"]


def test_a_bundle_whose_classes_are_in_another_order_does_not_open(
    exported: Callable[..., Any], tmp_path: Path
) -> None:
    """Also where whoever reversed them made the checksum fit."""
    folder = shutil.copytree(exported("attention").folder, tmp_path / "bundle")
    data = json.loads((folder / "bundle.json").read_text())
    write_bundle_json(folder, {**data, "classes": data["classes"][::-1]})
    bundle = Bundle.load(folder)
    files = [key for key, one in bundle.artifacts.items() if one.format == "onnx"]
    assert len(files) == 4
    for key in files:
        with pytest.raises(AlteredError, match=r"classes\[0\] is 'left'"):
            bundle.artifact(key)


@pytest.mark.parametrize("kind", KINDS)
def test_any_batch_gives_each_clip_its_own_answer(kind: str, exported: Callable[..., Any]) -> None:
    made = exported(kind)
    run = session(made.folder / "model.fp32.onnx")
    clips = np.random.default_rng(0).integers(0, 256, (11, 4, 32, 32, 3), dtype=np.uint8)
    pixels = made.experiment.cfg.specs["valid"].preprocess
    trained = [PixelInput(pixels.mean, pixels.std), made.experiment.recognizer.student]
    expected = dynamic(nn.Sequential(*trained))(clips)
    for size in (1, 2, 3, 4, 7, 11):
        (logits,) = run.run(["logits"], {"clip": clips[:size]})
        assert logits.shape == (size, 5)
        assert np.abs(logits - expected[:size]).max() < 1e-5 * np.abs(expected).max()


def test_nodes_bear_the_names_of_layers(exported: Callable[..., Any]) -> None:
    model = model_of(exported("attention"))
    nodes = [node.name for node in model.graph.node]
    assert len(set(nodes)) == len(nodes)
    for name in (
        "pixels",
        "backbone.stem.0.conv",
        "backbone.stages.2.0.dw_conv",
        "backbone.stages.2.0.se.conv1",
        "backbone.global_attention.fc",
        "backbone.last_conv",
        "backbone.fc",
    ):
        assert name in nodes
    weights = {i.name for i in model.graph.initializer}
    assert {"backbone.stem.0.conv.weight", "backbone.stem.0.conv.bias", "pixels.offset"} <= weights


def test_slopes_of_leaky_relus_are_those_of_the_network(exported: Callable[..., Any]) -> None:
    nodes = [n for n in model_of(exported("resnet")).graph.node if n.op_type == "LeakyRelu"]
    assert len(nodes) == 51
    for node in nodes:
        (alpha,) = (a.f for a in node.attribute if a.name == "alpha")
        assert alpha == pytest.approx(0.01)


def test_the_normalisation_is_that_of_the_config(exported: Callable[..., Any]) -> None:
    made = exported("single")
    values = {i.name: numpy_helper.to_array(i) for i in model_of(made).graph.initializer}
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    row = np.broadcast_to(-255 * mean[:, None], (3, 32))
    np.testing.assert_allclose(values["pixels.offset"].reshape(3, 32), row, rtol=1e-6)
    student = fuse(made.experiment.recognizer.student)
    plain = student.state_dict()["0.stem.0.conv.weight"].numpy()
    scaled = plain / (255 * std[:, None, None])
    np.testing.assert_allclose(values["backbone.stem.0.conv.weight"], scaled, rtol=1e-5)


def test_what_paddle_adds_has_a_number_a_channel(exported: Callable[..., Any]) -> None:
    """By rows, as ONNX files have it, the sum took a third of the network's time in Paddle."""
    made = exported("single")
    stored = paddle.jit.load(str(made.folder / "paddle" / "inference")).state_dict()
    shapes = [value.shape for value in stored.values() if len(value.shape) == 4]
    sums = [shape for shape in shapes if shape[0] == 1 and shape[1] > 1]  # the rest are filters
    assert len(sums) == 2 and [1, 3, 1, 1] in sums
    assert all(shape[2:] == [1, 1] for shape in sums)


@pytest.mark.parametrize("kind", ["single", "attention"])
def test_nothing_is_computed_that_can_be_folded(kind: str, exported: Callable[..., Any]) -> None:
    made = exported(kind)
    nodes = Counter(node.op_type for node in model_of(made).graph.node)
    shortcuts = made.experiment.cfg.model["backbone"]["depths"][3] - 1
    gates = nodes["Sigmoid"]  # squeeze-excitation, and temporal attention where there is one
    assert nodes["Mul"] == gates
    # Pixels, the shift's fill, the bias of each MatMul.
    assert nodes["Add"] <= 2 + nodes["MatMul"] + shortcuts
    # Frames and back, the shift's three, the mean over segments; attention's two.
    assert nodes["Reshape"] == 5 + 2 * (kind == "attention")
    for op, most in {"Pad": 1, "Slice": 3, "Concat": 1, "Transpose": 1, "Cast": 1}.items():
        assert nodes[op] == most, op
    folded = ("BatchNormalization", "Identity", "Dropout", "Shape", "Gather", "Expand", "Sub")
    assert not [op for op in folded if nodes[op]]


@pytest.mark.parametrize("depth", [[1, 1, 1, 1], [1, 2, 3, 1]])
def test_a_shift_after_the_convolution_gives_the_same(depth: list[int]) -> None:
    settings = {"name": "PPTSM_v2", "num_seg": 4, "class_num": 5, "scale": 0.125, "depths": depth}
    network = build_network({"backbone": settings, "head": {"name": "MoViNetHead"}})
    randomise(network, seed=3)
    network.eval()
    with pytest.raises(TypeError, match="fused first"):
        delay_shift(network)
    fused = fuse(network)
    bias = fused[0].stages[2][0].dw_conv.bias
    assert (bias.numpy() > 0).any() and (bias.numpy() < 0).any()
    frames = paddle.randn([8, 3, 32, 32])
    with paddle.no_grad():
        expected = fused(frames).numpy()
        delay_shift(fused)
        moved = fused(frames).numpy()
        fused[0].stages[2][0].delayed_shift.fill.zero_()
        unfilled = fused(frames).numpy()
    assert np.abs(moved - expected).max() < 1e-5 * np.abs(expected).max()
    assert np.abs(unfilled - expected).max() > 1e-3 * np.abs(expected).max()


def test_converting_twice_gives_the_same_bytes(
    experiment: Callable[..., Any], tmp_path: Path
) -> None:
    made = experiment("single")
    files = []
    for attempt in range(2):
        net = DeployNet(fuse(made.recognizer.student), made.cfg.specs["valid"])
        program, weights = save_paddle(net, tmp_path / str(attempt))
        target = tmp_path / f"{attempt}.onnx"
        to_onnx(program, weights, target, net.tensor_names())
        files.append(target.read_bytes())
    assert files[0] == files[1]


def test_converting_lets_nothing_be_installed(
    experiment: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import polygraphy.backend.onnx
    from polygraphy import config

    made = experiment("single")
    net = DeployNet(fuse(made.recognizer.student), made.cfg.specs["valid"])
    program, weights = save_paddle(net, tmp_path)
    monkeypatch.setattr(config, "AUTOINSTALL_DEPS", True)  # as paddle2onnx has it
    monkeypatch.delenv("POLYGRAPHY_AUTOINSTALL_DEPS")
    seen = []

    def spied(model: Any) -> Any:
        seen.append(config.AUTOINSTALL_DEPS)
        return fold(model)

    fold = polygraphy.backend.onnx.fold_constants
    monkeypatch.setattr(polygraphy.backend.onnx, "fold_constants", spied)
    to_onnx(program, weights, tmp_path / "model.onnx", net.tensor_names())
    assert seen == [False] and "POLYGRAPHY_AUTOINSTALL_DEPS" not in os.environ


def test_a_graph_that_cannot_be_repaired_is_refused(
    experiment: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = experiment("resnet")
    net = DeployNet(fuse(made.recognizer.student), made.cfg.specs["valid"])
    program, weights = save_paddle(net, tmp_path)
    text = program.read_text().replace("1.leaky_relu", "1.leaky_unknown", 1)
    changed = json.JSONDecoder().decode(text)
    monkeypatch.setattr(export.network.convert.json, "loads", lambda _: changed)
    with pytest.raises(ConversionError, match="the ONNX graph 51"):
        to_onnx(program, weights, tmp_path / "model.onnx", net.tensor_names())
    assert not list(tmp_path.glob("*.onnx*"))


def test_what_a_converter_writes_is_shown_only_when_it_fails(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with captured("Converting"):
        print("from Python")
        os.write(1, b"from below\n")

    def fail() -> None:
        os.write(2, b"operator Foo is not known\n")
        raise RuntimeError("cannot convert")

    with pytest.raises(ConversionError) as caught, captured("Converting"):
        fail()
    print("after")
    assert capfd.readouterr() == ("after\n", "")
    for words in ("Converting failed", "cannot convert", "operator Foo is not known"):
        assert words in str(caught.value)
    with pytest.raises(KeyboardInterrupt), captured("Converting"):
        raise KeyboardInterrupt
