"""A convolution whose input's gradient is a convolution too, for training on a CPU.

Paddle's CPU kernel computes that gradient as a product for each image and then adds up its
columns, which takes longer than the convolution itself where there are few channels. At stride 1
the gradient equals the convolution of the output's gradient with the filters, turned by half a turn
and with inputs and outputs exchanged. Measured by `python -m benchmarks.cpu_kernels`. Values equal
`F.conv2d` to the bit, gradients up to the rounding of the sums.
"""

from __future__ import annotations

from typing import Any

import paddle
from paddle import Tensor
from paddle.autograd import PyLayer
from paddle.nn import functional as F

from train.models.cpu import takes_arrays

MAX_CHANNELS = 16
"""Above this, adding up columns is no longer what takes the time."""


def has_few_channels(x: Tensor, weight: Tensor, *, stride: int, padding: int) -> bool:
    """Whether `same_conv2d` takes this convolution, and is the faster one."""
    filters, channels, kernel, _ = weight.shape
    learns = paddle.is_grad_enabled() and not x.stop_gradient
    same = stride == 1 and kernel == 2 * padding + 1 > 1
    return same and max(filters, channels) <= MAX_CHANNELS and learns and takes_arrays(x)


def same_conv2d(x: Tensor, weight: Tensor) -> Tensor:
    """Convolve with stride 1 and an output of the size of the input.

    Args:
        x: float32 `[N, C, H, W]`.
        weight: float32 `[O, C, K, K]` with an odd K.

    Returns:
        float32 `[N, O, H, W]`.
    """
    return _SameConv.apply(x, weight)


class _SameConv(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.weight = weight.detach()
        ctx.weight.stop_gradient = weight.stop_gradient
        ctx.padding = weight.shape[2] // 2
        # Paddle's own gradient of the filters is as fast as it can be: this graph has it alone.
        with paddle.enable_grad():
            ctx.y = F.conv2d(x.detach(), ctx.weight, padding=ctx.padding)
        return ctx.y.detach()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        turned = paddle.flip(paddle.transpose(ctx.weight.detach(), [1, 0, 2, 3]), [2, 3])
        dx = F.conv2d(grad, turned, padding=ctx.padding)
        if ctx.weight.stop_gradient:
            return dx, None
        (dweight,) = paddle.grad([ctx.y], [ctx.weight], [grad])
        return dx, dweight
