"""From pixels to the network's input."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F


class PixelInput(nn.Layer):
    """Normalise and lay out a batch of clips.

    Input: uint8 (or float in 0..255, after mixing) `[N, T, H, W, 3]` RGB. Output: float32
    `[N * T, 3, H, W]`, `(pixel / 255 - mean) / std` a channel.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.mean, self.std = list(mean), list(std)
        wide = np.asarray(std, dtype=np.float64)
        self.scale = (1.0 / (255.0 * wide)).astype(np.float32)
        self.shift = (-np.asarray(mean, dtype=np.float64) / wide).astype(np.float32)

    def forward(self, clips: Tensor) -> Tensor:
        """Clips `[N, T, H, W, 3]` to float32 `[N * T, 3, H, W]`."""
        frames = paddle.flatten(clips, start_axis=0, stop_axis=1)
        # Transpose while the pixels are still bytes: a quarter of the memory traffic.
        planes = paddle.transpose(frames, [0, 3, 1, 2]).astype("float32")
        return _scaled(planes, self.scale, self.shift)


def input_adapter(
    pixels: PixelInput | None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    size: int | None = None,
) -> Callable[[Tensor], Tensor]:
    """From what one network sees to what another was trained on.

    Args:
        pixels: the normalisation of the one; None where there is none to change.
        mean: of the other; None: the same.
        std: of the other; None: the same.
        size: height and width for the other; None: the same.

    Returns:
        A function from float32 `[N * T, 3, H, W]` to the same frames for the other.

    Raises:
        ValueError: a normalisation is wanted, but that of the input is not known.
    """
    change: tuple[np.ndarray, np.ndarray] | None = None
    if mean is not None or std is not None:
        if pixels is None:
            raise ValueError("a network with its own normalisation needs that of the clips")
        wanted = PixelInput(mean or pixels.mean, std or pixels.std)
        scale = wanted.scale / pixels.scale
        change = scale, wanted.shift - pixels.shift * scale

    def adapt(frames: Tensor) -> Tensor:
        if change is not None:
            frames = _scaled(frames, *change)
        if size is not None and list(frames.shape[2:]) != [size, size]:
            frames = F.interpolate(frames, size=[size, size], mode="bilinear")
        return frames

    return adapt


def _scaled(frames: Tensor, scale: np.ndarray, shift: np.ndarray) -> Tensor:
    """`frames * scale + shift` of float32 `[N, 3, H, W]`, with float32 [3] a channel.

    Paddle's CPU kernels take five times as long for tensors of a number a channel.
    """
    numbers = zip(scale.tolist(), shift.tolist(), strict=True)
    parts = [frames[:, c] * factor + term for c, (factor, term) in enumerate(numbers)]
    return paddle.stack(parts, axis=1)
