"""Values inside a network: some of a graph's tensors on clips, few enough at a time for memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from export.network.sessions import cpu_session

if TYPE_CHECKING:
    import onnx

BYTES = 1 << 27
"""Tensors that are looked at in one run take up to so much; all of a large network's would not fit
into a small machine."""


def groups(model: onnx.ModelProto, names: Iterable[str]) -> Iterator[list[str]]:
    """Those of some tensors that hold floats, `BYTES` at a time.

    Args:
        model: the graph.
        names: of tensors that its nodes compute.
    """
    import onnx

    one = onnx.ModelProto()
    one.CopyFrom(model)
    one.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(one, data_prop=True).graph
    types = {v.name: v.type.tensor_type for v in (*inferred.value_info, *inferred.output)}
    floats = {onnx.TensorProto.FLOAT: 4, onnx.TensorProto.FLOAT16: 2}
    group: list[str] = []
    size = 0
    for name in names:
        kind = types.get(name)
        if kind is None or kind.elem_type not in floats:
            continue
        own = floats[kind.elem_type] * math.prod(d.dim_value or 1 for d in kind.shape.dim)
        if group and size + own > BYTES:
            yield group
            group, size = [], 0
        group.append(name)
        size += own
    if group:
        yield group


def watch(
    model: onnx.ModelProto,
    tensors: Sequence[str],
    *,
    threads: int | None = None,
    exact: bool = False,
) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A function of one uint8 clip that gives the values of tensors.

    Args:
        model: the graph.
        tensors: names of some that its nodes compute.
        threads: of ONNX Runtime; None: all cores.
        exact: node by node, as the graph is written; see `export.network.sessions.cpu_session`.
    """
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    session = cpu_session(watched, threads=threads, exact=exact)
    feed = model.graph.input[0].name

    def run(clip: np.ndarray) -> list[np.ndarray]:
        found: list[np.ndarray] = session.run(None, {feed: clip[None]})
        return found

    return run
