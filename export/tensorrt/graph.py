"""An ONNX file as TensorRT's parser takes it. What it computes stays the same.

TensorRT knows uint8 at the ends of a network only ("UINT8 is only supported as network input or
output tensor types") and dequantises nothing but int8. So the pixels are cast before they are
moved around instead of after it, and biases quantised to int32 become the floats they stand for.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from export.network.graph_index import replace_nodes
from export.tensorrt.files import EngineError
from infer.system.errors import listed

if TYPE_CHECKING:
    import onnx

MOVES = ("Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze")
"""Operators that move values and do not change them: a cast may come before or after them."""


@dataclass(frozen=True)
class NamedGraph:
    """A serialised ONNX model, and what each of its nodes is called."""

    model: bytes
    nodes: tuple[str, ...]


def for_tensorrt(path: Path) -> NamedGraph:
    """Read an ONNX file and make it one that TensorRT takes.

    Raises:
        EngineError: onnx is not installed, or the file does something that TensorRT cannot do.
    """
    try:
        import onnx
    except ImportError as error:
        raise EngineError(f"onnx cannot be imported ({error}); pip install onnx") from None
    model = onnx.load(str(path))
    problems = _cast_first(model.graph) + _float_biases(model.graph)
    if problems:
        raise EngineError(listed(f"TensorRT cannot run {path}", problems))
    names = tuple(f"{node.name or '(no name)'} ({node.op_type})" for node in model.graph.node)
    return NamedGraph(model.SerializeToString(), names)


def _cast_first(graph: onnx.GraphProto) -> list[str]:
    """Cast the uint8 input at once; returns what cannot be done with uint8."""
    from onnx import TensorProto, helper

    pixels = graph.input[0]
    if pixels.type.tensor_type.elem_type != TensorProto.UINT8:
        return [f"its input {pixels.name!r} is not uint8"]
    raw = {pixels.name}  # tensors of uint8 pixels, moved around
    casts: dict[str, str] = {}  # what a cast makes of one of them, and which it is
    kinds, problems = set(), []
    for node in graph.node:
        if not node.input or node.input[0] not in raw:
            continue
        if node.op_type == "Cast":
            casts[node.output[0]] = node.input[0]
            kinds.add(helper.get_node_attr_value(node, "to"))
        elif node.op_type in MOVES:
            raw.update(node.output)
        elif node.op_type != "Shape":
            problems.append(f"{node.name} ({node.op_type}) computes with uint8 pixels")
    if problems or len(kinds) != 1:
        return problems or ["its pixels are cast to several types, or to none"]
    early = f"{pixels.name}.cast"
    kept = [node for node in graph.node if not (node.output and node.output[0] in casts)]
    for node in kept:
        for index, name in enumerate(node.input):
            source = casts.get(name, name)
            node.input[index] = early if source == pixels.name else source
    cast = helper.make_node("Cast", [pixels.name], [early], early, to=kinds.pop())
    # Inferred types of the moved pixels no longer hold; TensorRT infers its own.
    replace_nodes(graph, [cast, *kept])
    return []


def _float_biases(graph: onnx.GraphProto) -> list[str]:
    """Replace dequantised int32 constants by their values; says if Q/DQ is not symmetric int8."""
    from onnx import TensorProto, numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    kept, others = [], []
    for node in graph.node:
        kept.append(node)
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        zero = constants.get(node.input[2]) if len(node.input) > 2 else None
        source = constants.get(node.input[0])
        if source is not None and source.data_type == TensorProto.INT32:
            scale = numpy_helper.to_array(constants[node.input[1]])
            values = numpy_helper.to_array(source) * scale
            graph.initializer.append(
                numpy_helper.from_array(values.astype(scale.dtype), node.output[0])
            )
            kept.pop()
        elif (
            zero is None
            or zero.data_type != TensorProto.INT8
            or np.any(numpy_helper.to_array(zero))
        ):
            others.append(node.name)
    replace_nodes(graph, kept)
    if not others:
        return []
    return [
        f"{len(others)} of its Q/DQ nodes, {others[0]} first, are not int8 with a zero point of 0; "
        "quantise it with symmetric int8 activations"
    ]
