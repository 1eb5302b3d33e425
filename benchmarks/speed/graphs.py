"""Variants of an exported graph that show what one part of it costs: with and without it."""

from __future__ import annotations

import onnx
from onnx import TensorProto, helper

from benchmarks.common.errors import BenchmarkError
from export.network.convert import INPUT

PIXELS = "pixels"
"""Name of the node that takes the mean off the pixels (see `export.network.convert`)."""


def float_input(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph from where the pixels are floats: input float32 `[batch * T, 3, H, W]`.

    Raises:
        BenchmarkError: the graph has no such place.
    """
    model = _copy(model)
    graph = model.graph
    (node,) = [n for n in graph.node if n.name == PIXELS] or [None]
    if node is None:
        raise BenchmarkError(f"the graph has no node {PIXELS}")
    size = [dim.dim_value for dim in graph.input[0].type.tensor_type.shape.dim][2:4]
    result = node.output[0]
    _remove(graph, _behind(graph, result))
    for reader in graph.node:
        for place, name in enumerate(reader.input):
            reader.input[place] = INPUT if name == result else name
    del graph.input[:]
    shape = ["frames", 3, *size]
    graph.input.append(helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, shape))
    return _checked(model)


def without_shifts(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph with every temporal shift left out; it computes something else, as fast as can be.

    Raises:
        BenchmarkError: the graph has no shift.
    """
    model = _copy(model)
    graph = model.graph
    pads = [node for node in graph.node if node.op_type == "Pad"]
    for pad in pads:
        cuts = _readers(graph, pad.output[0])
        (join,) = {n.name: n for cut in cuts for n in _readers(graph, cut.output[0])}.values()
        # Reshape to [N, T, C, H, W] comes before and is still needed by what follows.
        for reader in graph.node:
            for place, name in enumerate(reader.input):
                reader.input[place] = pad.input[0] if name == join.output[0] else name
        _remove(graph, [pad, *cuts, join])
    if not pads:
        raise BenchmarkError("the graph has no temporal shift")
    return _checked(model)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    return copy


def _behind(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    """Every node that `name` is computed by."""
    found, wanted = [], {name}
    for node in reversed(graph.node):
        if wanted & set(node.output):
            found.append(node)
            wanted |= set(node.input)
    return found


def _readers(graph: onnx.GraphProto, name: str) -> list[onnx.NodeProto]:
    return [node for node in graph.node if name in node.input]


def _remove(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    for node in nodes:
        graph.node.remove(node)


def _checked(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop what is not used any more, and check what is left."""
    graph = model.graph
    used = {name for node in graph.node for name in node.input}
    for unused in [i for i in graph.initializer if i.name not in used]:
        graph.initializer.remove(unused)
    del graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    return model
