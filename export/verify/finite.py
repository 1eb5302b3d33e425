"""Look for NaN and infinity in every tensor of a network, on real clips and on the worst ones.

A sum leaves the range of float16 on some clips and not on others. The brightest, the darkest and
the most restless pictures drive it furthest: nothing that a camera sends is beyond them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from export.network.watched import groups, watch
from export.verify.parity import VerificationError


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
    for tensors in groups(model, makers):
        run = watch(model, tensors, threads=threads)
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
