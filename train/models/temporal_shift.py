"""The temporal shift (Lin et al., TSM, 2019).

Paddle's CPU kernel works out for each number where it comes from. On a CPU the shift is copied in
blocks here, forward and backward: the same numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import Tensor
from paddle.autograd import PyLayer
from paddle.nn import functional as F

from train.models.cpu import array_of, takes_arrays


def temporal_shift(x: Tensor, num_seg: int) -> Tensor:
    """Shift 1/num_seg of the channels one frame back and as many one frame forward.

    Args:
        x: float `[N * num_seg, C, H, W]`; the result has the same shape.
        num_seg: frames a clip.
    """
    if takes_arrays(x) and num_seg > 2:  # Paddle refuses to shift half of the channels or more
        return _Shift.apply(x, num_seg)
    return F.temporal_shift(x, num_seg, 1.0 / num_seg)


class _Shift(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Tensor, num_seg: int) -> Tensor:
        ctx.num_seg = num_seg
        y = paddle.empty_like(x)
        _copy_shifted(array_of(x), array_of(y), num_seg, back=False)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        dx = paddle.empty_like(grad)
        _copy_shifted(array_of(grad), array_of(dx), ctx.num_seg, back=True)
        return dx


def _copy_shifted(source: np.ndarray, target: np.ndarray, num_seg: int, *, back: bool) -> None:
    """Fill `target` with the frames of `source`, shifted, or shifted back."""
    channels = source.shape[1]
    # In float32, as Paddle's kernel counts.
    ratio = np.float32(1.0 / num_seg)
    ends = int(np.float32(channels) * ratio), int(np.float32(2 * channels) * ratio)
    first, second = slice(0, ends[0]), slice(ends[0], ends[1])
    later, earlier = (second, first) if back else (first, second)
    old = source.reshape(-1, num_seg, *source.shape[1:])
    new = target.reshape(old.shape)
    new[:, 0, later] = 0
    new[:, 1:, later] = old[:, :-1, later]
    new[:, -1, earlier] = 0
    new[:, :-1, earlier] = old[:, 1:, earlier]
    new[:, :, ends[1] :] = old[:, :, ends[1] :]
