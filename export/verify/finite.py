"""Look for NaN and infinity in every tensor of a network, on real clips and on the worst ones.

A sum leaves the range of float16 on some clips and not on others. The brightest, the darkest and
the most restless pictures drive it furthest: nothing that a camera sends is beyond them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from export.network.sessions import cpu_session
from export.verify.parity import VerificationError

if TYPE_CHECKING:
    import onnx

BYTES = 1 << 27
"""Tensors that are looked at in one run take up to so much; all of a large network's would not fit
into a small machine."""


def saturated_clips(shape: Sequence[int]) -> Iterator[tuple[str, np.ndarray]]:
    """Clips of extreme pixels and what they are called.

    Args:
        shape: `[T, H, W, 3]`.

    Returns:
        Name and uint8 clip of this shape: black, white, each colour alone, and checkerboards of
        fields of 1 and of 8 pixels, still ones and such as change sides with every frame.
    """
    clip = np.zeros(tuple(shape), np.uint8)
    yield "all 0", clip
    yield "all 255", clip + np.uint8(255)
    for channel, colour in enumerate(("red", "green", "blue")):
        one = clip.copy()
        one[..., channel] = 255
        yield f"all {colour}", one
    frames, height, width = shape[:3]
    t, y, x = np.ogrid[:frames, :height, :width]
    for size in (1, 8):
        still = (y // size + x // size) % 2 + 0 * t
        for moving, board in (("still", still), ("moving", (still + t) % 2)):
            pixels = np.repeat((255 * board).astype(np.uint8)[..., None], 3, axis=-1)
            yield f"{moving} checkerboard of {size}", pixels


def check_finite(
    path: str | Path,
    clips: np.ndarray,
    *,
    names: Sequence[str],
    threads: int | None = None,
) -> int:
    """Run clips and the saturated ones, one at a time, and look at every tensor of floats.

    Args:
        path: an ONNX file that takes uint8 `clip` `[batch, T, H, W, 3]`.
        clips: uint8 `[n, T, H, W, 3]`, at least one.
        names: what each is called in messages.
        threads: of ONNX Runtime; None: all cores.

    Returns:
        How many tensors were looked at on each clip.

    Raises:
        VerificationError: names the first tensor that is not finite, and the clip.
    """
    import onnx

    model = onnx.load(str(path))
    makers = {name: node for node in model.graph.node for name in node.output}
    looked = 0
    for tensors in _groups(model):
        run = _watch(model, tensors, threads)
        looked += len(tensors)
        real = zip(names, clips, strict=True)
        for name, clip in (*real, *saturated_clips(clips[0].shape)):
            for tensor, value in zip(tensors, run(clip), strict=True):
                if not np.isfinite(value).all():
                    kind = "NaN" if np.isnan(value).any() else "infinity"
                    node = makers[tensor]
                    raise VerificationError(
                        f"{Path(path).name} computes {kind} in {node.name or tensor} "
                        f"({node.op_type}, {value.dtype} {list(value.shape)}), first on {name}\n"
                        "  Its values leave the range of float16; train with "
                        "weight decay or export without it: --no-fp16"
                    )
    return looked


def _groups(model: onnx.ModelProto) -> Iterator[list[str]]:
    """Every tensor of floats that a node computes, in the graph's order, `BYTES` at a time."""
    import onnx

    one = onnx.ModelProto()
    one.CopyFrom(model)
    one.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    inferred = onnx.shape_inference.infer_shapes(one, data_prop=True).graph
    types = {v.name: v.type.tensor_type for v in (*inferred.value_info, *inferred.output)}
    floats = {onnx.TensorProto.FLOAT: 4, onnx.TensorProto.FLOAT16: 2}
    group: list[str] = []
    size = 0
    for name in (name for node in model.graph.node for name in node.output):
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


def _watch(
    model: onnx.ModelProto, tensors: Sequence[str], threads: int | None
) -> Callable[[np.ndarray], list[np.ndarray]]:
    """A function of one uint8 clip that gives the values of tensors."""
    import onnx

    watched = onnx.ModelProto()
    watched.CopyFrom(model)
    del watched.graph.output[:]
    watched.graph.output.extend(onnx.ValueInfoProto(name=name) for name in tensors)
    session = cpu_session(watched, threads=threads)
    feed = model.graph.input[0].name

    def run(clip: np.ndarray) -> list[np.ndarray]:
        found: list[np.ndarray] = session.run(None, {feed: clip[None]})
        return found

    return run
