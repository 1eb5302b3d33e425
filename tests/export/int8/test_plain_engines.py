"""8-bit files in engines that know nothing of this project: right in a batch of any size."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.int8.means import widen_means
from export.int8.pads import pad_bytes
from export.int8.quantize import calibrate, quantize

ENGINES = ["onnxruntime", "openvino", "cv2"]
SEGMENTS, SIZE, CHANNELS, CLASSES = 4, 8, 24, 5
BATCHES = (1, 2, 3, 20)


def network() -> onnx.ModelProto:
    """Pixels -> convolution -> weights of frames -> convolution -> mean of segments -> classes."""
    rng = np.random.default_rng(0)
    rows: list[tuple[str, list[Any], dict[str, Any]]] = [
        ("Reshape", ["clip", "frames"], {}),
        ("Transpose", [...], {"perm": [0, 3, 1, 2]}),
        ("Cast", [...], {"to": TensorProto.FLOAT}),
        ("Conv", [..., "first.weight", "first.bias"], {"kernel_shape": [3, 3], "strides": [2, 2]}),
        ("Relu", [...], {}),
        ("ReduceMean", [...], {"axes": [1, 2, 3], "keepdims": 0}),
        ("Reshape", [..., "clips"], {}),
        ("MatMul", [..., "global_attention.fc.weight"], {}),
        ("Sigmoid", [...], {}),
        ("Reshape", [..., "weights"], {}),
        ("Mul", ["value.4", ...], {}),
        ("GlobalAveragePool", [...], {}),
        ("Conv", [..., "second.weight"], {"kernel_shape": [1, 1]}),
        ("Relu", [...], {}),
        ("Reshape", [..., "segments"], {}),
        ("ReduceMean", [...], {"axes": [1], "keepdims": 0}),
        ("MatMul", [..., "backbone.fc.weight"], {}),
    ]
    nodes, last = [], "clip"
    for place, (kind, inputs, attributes) in enumerate(rows):
        output = "logits" if place == len(rows) - 1 else f"value.{place}"
        sources = [last if name is ... else str(name) for name in inputs]
        layer = sources[1].removesuffix(".weight") if kind == "MatMul" else f"{kind}.{place}"
        nodes.append(helper.make_node(kind, sources, [output], layer, **attributes))
        last = output
    constants = {
        "frames": np.array([-1, SIZE, SIZE, 3]),
        "clips": np.array([-1, SEGMENTS]),
        "weights": np.array([-1, 1, 1, 1]),
        "global_attention.fc.weight": rng.normal(0, 1, (SEGMENTS, SEGMENTS)).astype(np.float32),
        "segments": np.array([-1, SEGMENTS, CHANNELS]),
        # Few large weights: nothing saturates where the CPU adds two products in 16 bits.
        "first.weight": rng.normal(0, 0.01, (16, 3, 3, 3)).astype(np.float32),
        "first.bias": rng.normal(0, 0.5, 16).astype(np.float32),
        "second.weight": rng.normal(0, 0.5, (CHANNELS, 16, 1, 1)).astype(np.float32),
        "backbone.fc.weight": rng.normal(0, 1, (CHANNELS, CLASSES)).astype(np.float32),
    }
    return model_of(nodes, constants)


def shifted(activation: str) -> onnx.ModelProto:
    """A network with a shift in time behind an activation function of signed values, and a gate."""
    rng = np.random.default_rng(2)
    inside, most = (16, 3, 3), 1 << 30

    def kept(node: str, start: list[int], end: list[int]) -> onnx.NodeProto:
        for name, value in (("start", start), ("end", end)):
            constants[f"{node}.{name}"] = np.array(value)
        ends = [f"{node}.start", f"{node}.end", "axes"]
        return helper.make_node("Slice", ["padded", *ends], [node], f"{node}.slice")

    alpha = {"alpha": 0.3} if activation == "LeakyRelu" else {}
    constants = {
        "frames": np.array([-1, SIZE, SIZE, 3]),
        "clips": np.array([-1, SEGMENTS, *inside]),
        "pads": np.array([0, 1, 0, 0, 0, 0, 1, 0, 0, 0]),
        "axes": np.array([1, 2]),
        "images": np.array([-1, *inside]),
        "segments": np.array([-1, SEGMENTS, CHANNELS]),
        "first.weight": rng.normal(0, 0.01, (16, 3, 3, 3)).astype(np.float32),
        "first.bias": rng.normal(-0.5, 0.5, 16).astype(np.float32),
        "gate.weight": rng.normal(0, 0.5, (16, 16, 1, 1)).astype(np.float32),
        "second.weight": rng.normal(0, 0.5, (CHANNELS, 16, 1, 1)).astype(np.float32),
        "backbone.fc.weight": rng.normal(0, 1, (CHANNELS, CLASSES)).astype(np.float32),
    }
    node = helper.make_node
    nodes = [
        node("Reshape", ["clip", "frames"], ["bytes"], "frames"),
        node("Transpose", ["bytes"], ["planes"], "planes", perm=[0, 3, 1, 2]),
        node("Cast", ["planes"], ["floats"], "floats", to=TensorProto.FLOAT),
        node("Conv", ["floats", "first.weight", "first.bias"], ["x.0"], "first", strides=[2, 2]),
        node(activation, ["x.0"], ["x.1"], "activation.0", **alpha),
        node("Reshape", ["x.1", "clips"], ["x.2"], "clips"),
        node("Pad", ["x.2", "pads"], ["padded"], "pad"),
        kept("before", [0, 0], [SEGMENTS, 4]),
        kept("after", [2, 4], [SEGMENTS + 2, 8]),
        kept("same", [1, 8], [SEGMENTS + 1, most]),
        node("Concat", ["before", "after", "same"], ["x.3"], "join", axis=2),
        node("Reshape", ["x.3", "images"], ["x.4"], "images"),
        node("GlobalAveragePool", ["x.4"], ["g.0"], "gate.pool"),
        node("Conv", ["g.0", "gate.weight"], ["g.1"], "block.se.conv"),
        node("Sigmoid", ["g.1"], ["g.2"], "gate"),
        node("Mul", ["x.4", "g.2"], ["gated"], "gated"),
        node("Conv", ["gated", "second.weight"], ["x.5"], "second"),
        node(activation, ["x.5"], ["x.6"], "activation.1", **alpha),
        node("GlobalAveragePool", ["x.6"], ["x.7"], "pool"),
        node("Reshape", ["x.7", "segments"], ["x.8"], "segments"),
        node("ReduceMean", ["x.8"], ["x.9"], "mean", axes=[1], keepdims=0),
        node("MatMul", ["x.9", "backbone.fc.weight"], ["logits"], "backbone.fc"),
    ]
    return model_of(nodes, constants)


def model_of(nodes: list[onnx.NodeProto], constants: dict[str, np.ndarray]) -> onnx.ModelProto:
    """The graph from `clip`, uint8 `[n, T, H, W, 3]`, to `logits`."""
    graph = helper.make_graph(
        nodes,
        "clip to logits",
        [helper.make_tensor_value_info("clip", TensorProto.UINT8, ["n", SEGMENTS, SIZE, SIZE, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    return model


def some_clips(count: int = 20) -> np.ndarray:
    """Clips of one colour a frame and noise: their means differ."""
    rng = np.random.default_rng(1)
    colours = rng.integers(0, 256, (count, SEGMENTS, 1, 1, 3))
    noise = rng.integers(-30, 31, (count, SEGMENTS, SIZE, SIZE, 3))
    return np.clip(colours + noise, 0, 255).astype(np.uint8)


def plain(engine: str, file: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A file opened as the engine's own documentation does it."""
    if find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    if engine == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        return lambda clips: np.asarray(session.run(None, {"clip": clips})[0])
    if engine == "openvino":
        import openvino

        core = openvino.Core()
        # Without the hint a CPU that has bf16 computes in it what is not of 8 bits.
        hint = {"INFERENCE_PRECISION_HINT": "f32"}
        network = core.compile_model(core.read_model(str(file)), "CPU", hint)
        return lambda clips: np.array(network(clips)[0])
    import cv2

    net: Any = cv2.dnn.readNetFromONNX(str(file))

    def run(clips: np.ndarray) -> np.ndarray:
        net.setInput(clips)
        return np.array(net.forward())

    return run


NETWORKS = {
    "attention": network,
    "leaky": lambda: shifted("LeakyRelu"),
    "swish": lambda: shifted("HardSwish"),
}
Files = Callable[[str], dict[str, Path]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """`files(network)`: its fp32 file and both 8-bit files, by what they hold."""
    folder = tmp_path_factory.mktemp("files")
    return functools.cache(lambda kind: write_files(folder / kind, NETWORKS[kind]()))


def write_files(folder: Path, model: onnx.ModelProto) -> dict[str, Path]:
    """Weights have 7 bits, so that nothing saturates."""
    folder.mkdir()
    found = {name: folder / f"{name}.onnx" for name in ("fp32", "int8", "uint8")}
    onnx.save(model, str(found["fp32"]))
    calibrated = calibrate(found["fp32"], some_clips(), calibrator="minmax", threads=1)
    for kind in ("int8", "uint8"):
        quantize(calibrated, activations=kind, reduce_range=True, target=found[kind])
    return found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["fp32", "int8", "uint8"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_file_is_right_in_every_batch(files: Files, kind: str, name: str, engine: str) -> None:
    clips, file = some_clips(), files(kind)[name]
    reference = plain("onnxruntime", file)
    expected = np.concatenate([reference(clip[None]) for clip in clips])
    run = plain(engine, file)
    allowed = (1e-4 if name == "fp32" else 0.02) * np.abs(expected).max()
    for batch in BATCHES:
        parts = [clips[start : start + batch] for start in range(0, len(clips), batch)]
        found = np.concatenate([run(np.ascontiguousarray(part)) for part in parts])
        assert np.abs(found - expected).max() < allowed, batch


def test_only_the_mean_of_fewer_than_four_axes_changes() -> None:
    model = network()
    before = model.SerializeToString()
    assert widen_means(model) == 1
    onnx.checker.check_model(model, full_check=True)
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    attention, mean = (node for node in model.graph.node if node.op_type == "ReduceMean")
    assert helper.get_node_attr_value(attention, "axes") == [1, 2, 3]
    (reshape,) = (node for node in model.graph.node if mean.input[0] in node.output)
    assert tensors[reshape.input[1]].tolist() == [-1, SEGMENTS, CHANNELS, 1]
    assert helper.get_node_attr_value(mean, "axes") == [1, 3]
    assert model.SerializeToString() != before and widen_means(model) == 0


def optimised(file: Path) -> list[str]:
    """The operators that ONNX Runtime makes of a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(file.with_suffix(".optimised"))
    onnxruntime.InferenceSession(str(file), options)
    return [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]


@pytest.mark.parametrize("kind", ["leaky", "swish"])
def test_onnxruntime_averages_bytes_in_front_of_a_gate(files: Files, kind: str) -> None:
    """And makes floats of nothing that is larger than the averages."""
    kinds = optimised(files(kind)["uint8"])
    assert kinds.count("QLinearGlobalAveragePool") >= 1 and kinds.count("QLinearMul") == 1
    model = onnx.load(str(files(kind)["uint8"]))
    made_by = {name: node for node in model.graph.node for name in node.output}
    (gate,) = (node for node in model.graph.node if node.name == "block.se.conv")
    assert made_by[gate.input[0]].op_type == "DequantizeLinear"
    assert gate.input[1] in {tensor.name for tensor in model.graph.initializer}, "of floats"


def test_weights_of_frames_are_rounded_before_they_get_more_axes(files: Files) -> None:
    """OpenCV 5.0 makes zeros of a pair on `[N, 1, 1, 1]`; ONNX Runtime still has its kernel."""
    file = files("attention")["uint8"]
    graph = onnx.load(str(file)).graph
    made_by = {name: node for node in graph.node for name in node.output}
    (product,) = (node for node in graph.node if node.op_type == "Mul")
    reshape = made_by[product.input[1]]
    assert reshape.op_type == "Reshape"
    assert made_by[reshape.input[0]].op_type == "DequantizeLinear"
    kinds = optimised(file)
    assert kinds.count("QLinearMul") == 1 and "Mul" not in kinds


@pytest.mark.parametrize("kind", ["leaky", "swish"])
def test_bytes_are_padded_with_their_zero_point(files: Files, kind: str) -> None:
    """The pairs around a pad say the same; a float pad is what OpenVINO computes wrong."""
    model = onnx.load(str(files(kind)["uint8"]))
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    (pad,) = (node for node in model.graph.node if node.op_type == "Pad")
    (reader,) = (node for node in model.graph.node if pad.output[0] in node.input)
    before = made_by[pad.input[0]]
    assert (before.op_type, reader.op_type) == ("QuantizeLinear", "DequantizeLinear")
    assert tensors[pad.input[2]] == tensors[reader.input[2]] == tensors[before.input[2]] != 0
    assert tensors[before.input[1]] == tensors[reader.input[1]]
    assert pad_bytes(model) == 0


@pytest.mark.parametrize("kind", ["leaky", "swish"])
def test_a_file_with_pads_of_floats_gives_the_same_with_pads_of_bytes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.int8.quantize.pad_bytes", lambda model: 0)
    older = write_files(tmp_path / "older", NETWORKS[kind]())["uint8"]
    model = onnx.load(str(older))
    assert pad_bytes(model) == 1
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(tmp_path / "newer.onnx"))
    clips = some_clips()
    found = [plain("onnxruntime", file)(clips) for file in (older, tmp_path / "newer.onnx")]
    assert np.array_equal(*found)
