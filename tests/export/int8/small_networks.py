"""Small graphs from clips to logits that have what engines compute wrong in 8 bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SEGMENTS, SIZE, CHANNELS, CLASSES = 4, 8, 24, 5


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


NETWORKS = {
    "attention": network,
    "leaky": lambda: shifted("LeakyRelu"),
    "swish": lambda: shifted("HardSwish"),
}
