"""From pixels to the network's input: the same layer in training and in the exported graph."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import paddle
from paddle import Tensor, nn


class PixelInput(nn.Layer):
    """Normalise and lay out a batch of clips.

    Input: uint8 (or float in 0..255, after mixing) ``[N, T, H, W, 3]`` RGB. Output: float32
    ``[N * T, 3, H, W]``, ``(pixel / 255 - mean) / std`` a channel.
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        scale = 1.0 / (255.0 * np.asarray(std, dtype=np.float64))
        shift = -np.asarray(mean, dtype=np.float64) / np.asarray(std, dtype=np.float64)
        self.register_buffer("scale", _per_channel(scale), persistable=False)
        self.register_buffer("shift", _per_channel(shift), persistable=False)

    def forward(self, clips: Tensor) -> Tensor:
        frames = paddle.flatten(clips, start_axis=0, stop_axis=1)
        # Transpose while the pixels are still bytes: a quarter of the memory traffic.
        return paddle.transpose(frames, [0, 3, 1, 2]).astype("float32") * self.scale + self.shift


def _per_channel(values: np.ndarray) -> Tensor:
    return paddle.to_tensor(values.astype(np.float32).reshape(1, 3, 1, 1))
