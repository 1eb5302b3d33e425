"""Pads of 8-bit values in a form that every engine computes right.

Where a zero point is not 0, OpenVINO 2026.4 computes a pad between two Q/DQ pairs wrong, by a step
or more in every value behind it, or does not compile the file. ONNX Runtime computes such a pad
with floats, between two conversions. A pad of the bytes, with the zero point as its value, is what
the pairs say, and every engine has it. Temporal shift pads; behind leaky ReLU and hard swish zero
points are not 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from export.network.graph_index import GraphIndex, drop_unused

if TYPE_CHECKING:
    import onnx


def pad_bytes(model: onnx.ModelProto) -> int:
    """Let pads between two equal Q/DQ pairs pad bytes; the results stay the same.

    Changed are nodes Pad of zeros that read dequantised unsigned bytes, and that one QuantizeLinear
    alone reads. Its scale and zero point become those of the bytes. Signed bytes are for TensorRT,
    which takes only pads of floats.

    Args:
        model: Q/DQ, opset 13 to 17; changed in place.

    Returns:
        How many pads were changed.
    """
    index = GraphIndex.of(model.graph)
    ends = {end.name for end in model.graph.output}
    gone: list[Any] = []
    for pad in index.nodes:
        if pad.op_type != "Pad" or pad.output[0] in ends or not _of_zeros(pad, index):
            continue
        before, readers = index.made_by.get(pad.input[0]), index.read_by.get(pad.output[0], ())
        if len(readers) != 1 or readers[0].op_type != "QuantizeLinear" or before is None:
            continue
        (after,) = readers
        made = index.made_by.get(before.input[0])
        if before.op_type != "DequantizeLinear" or made is None:
            continue
        if made.op_type != "QuantizeLinear" or not _equal(before, after, index):
            continue
        if index.array(after.input[2]).dtype != np.uint8:
            continue
        # The names behind the pad: what trains the steps looks there.
        made.input[1:] = after.input[1:]
        pad.input[:] = [before.input[0], pad.input[1], after.input[2]]
        pad.output[0] = after.output[0]
        gone.append(after)
        if len(index.read_by[before.output[0]]) == 1 and before.output[0] not in ends:
            gone.append(before)
    for node in gone:
        model.graph.node.remove(node)
    if gone:
        drop_unused(model.graph)
    return sum(node.op_type == "QuantizeLinear" for node in gone)


def _of_zeros(pad: Any, index: GraphIndex) -> bool:
    """Whether a node pads with zeros, on every axis."""
    mode = next((one.s for one in pad.attribute if one.name == "mode"), b"constant")
    if mode != b"constant" or len(pad.input) > 3 or pad.input[1] not in index.constants:
        return False
    value = pad.input[2] if len(pad.input) > 2 else ""
    return not value or (value in index.constants and not index.array(value).any())


def _equal(before: Any, after: Any, index: GraphIndex) -> bool:
    """Whether two nodes have the same scale, and the same zero point of the same type."""
    if any(len(node.input) < 3 for node in (before, after)):
        return False
    names = [name for node in (before, after) for name in node.input[1:]]
    if any(name not in index.constants for name in names):
        return False
    first, second = ([index.array(name) for name in node.input[1:]] for node in (before, after))
    return all(
        one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
        for one, other in zip(first, second, strict=True)
    )
