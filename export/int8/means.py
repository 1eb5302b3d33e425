"""Means over the segments in a form that every engine computes right from 8 bits.

OpenVINO 2026.4 moves dequantisation behind a mean. Its CPU kernel then averages bytes, and where
the tensor has three axes `[N, T, C]` only the first clip of a batch is right. With a fourth axis
of size 1, over which the mean goes too, the same kernel is right, and no runtime has more to
compute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from export.network.graph_index import GraphIndex, drop_unused

if TYPE_CHECKING:
    import onnx

RANK = 4
"""Axes of a tensor whose mean every engine computes right."""


def widen_means(model: onnx.ModelProto) -> int:
    """Give the inputs of means behind a reshape four axes; the results stay the same.

    Changed are nodes ReduceMean that drop their axes (`keepdims` 0) and that alone read a Reshape
    to fewer axes than four, as the mean over the segments does. Its name and outputs stay.

    Args:
        model: fp32 or Q/DQ, opset 13 to 17; changed in place.

    Returns:
        How many means were changed.
    """
    from onnx import helper, numpy_helper

    index = GraphIndex.of(model.graph)
    changed = 0
    for node in index.nodes:
        if node.op_type != "ReduceMean":
            continue
        attributes = {attribute.name: attribute for attribute in node.attribute}
        keeps = (
            helper.get_attribute_value(attributes["keepdims"]) if "keepdims" in attributes else 1
        )
        source = index.made_by.get(node.input[0])
        if keeps or "axes" not in attributes or source is None or source.op_type != "Reshape":
            continue
        if len(index.read_by[node.input[0]]) > 1 or source.input[1] not in index.constants:
            continue
        shape = index.array(source.input[1])
        rank = len(shape)
        if rank >= RANK:
            continue
        axes = [axis % rank for axis in attributes["axes"].ints]
        # The old shape stays for other nodes that use it.
        name = f"{node.name}.shape"
        wider = np.append(shape, np.ones(RANK - rank, shape.dtype))
        model.graph.initializer.append(numpy_helper.from_array(wider, name))
        source.input[1] = name
        attributes["axes"].ints[:] = [*axes, *range(rank, RANK)]
        changed += 1
    if changed:
        drop_unused(model.graph)
    return changed
