"""Convolutions, each by the fastest way there is for it where it trains on a CPU.

Everywhere else, and in traced or exported graphs, they are Paddle's. Values are the same up to the
rounding of the sums, parameters and their names too.
"""

from __future__ import annotations

import paddle
from paddle import ParamAttr, Tensor, nn
from paddle.nn import functional as F
from paddle.nn.initializer import KaimingNormal

from train.models.depthwise import depthwise_conv2d, takes_tiles
from train.models.input_gradient import has_few_channels, same_conv2d
from train.models.small_maps import is_small, product_conv2d


def conv2d(
    x: Tensor, weight: Tensor, bias: Tensor | None, *, stride: int, padding: int, groups: int
) -> Tensor:
    """`F.conv2d`.

    Args:
        x: float32 `[N, C, H, W]`.
        weight: float32 `[O, C / groups, K, K]`.
        bias: float32 `[O]` or None.
        stride: the same in both directions.
        padding: zeros on every side.
        groups: of channels that have filters of their own.

    Returns:
        float32 `[N, O, H', W']` with `H' = (H + 2 * padding - K) // stride + 1`.
    """
    depthwise = groups == weight.shape[0] == x.shape[1]
    ours = depthwise or groups == 1
    # A depthwise 1 x 1 filter scales a channel: no product is needed.
    if ours and not (depthwise and weight.shape[2] == 1) and is_small(x, weight):
        y = product_conv2d(x, weight, stride=stride, padding=padding)
    elif depthwise and takes_tiles(x):
        y = depthwise_conv2d(x, weight, stride=stride, padding=padding)
    elif groups == 1 and has_few_channels(x, weight, stride=stride, padding=padding):
        y = same_conv2d(x, weight)
    else:
        return F.conv2d(x, weight, bias, stride=stride, padding=padding, groups=groups)
    return y if bias is None else y + paddle.reshape(bias, [1, -1, 1, 1])


class Conv2D(nn.Conv2D):
    """`nn.Conv2D` whose output has the size of its input, divided by the stride and rounded up.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        kernel_size: height and width of the filters, odd.
        stride: what height and width are divided by.
        depthwise: one filter a channel, instead of filters that see all of them.
        bias: whether there is one.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        stride: int = 1,
        *,
        depthwise: bool = False,
        bias: bool = False,
    ) -> None:
        same = {
            "stride": stride,
            "padding": (kernel_size - 1) // 2,
            "groups": in_channels if depthwise else 1,
        }
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            **same,
            weight_attr=ParamAttr(initializer=KaimingNormal()),  # He, over the fan-in
            bias_attr=None if bias else False,
        )
        self.same = same

    def forward(self, x: Tensor) -> Tensor:
        """Features `[N, in_channels, H, W]` to `[N, out_channels, H / stride, W / stride]`."""
        return conv2d(x, self.weight, self.bias, **self.same)
