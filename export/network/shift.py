"""The student's shift in time after a depthwise convolution instead of before it.

A depthwise convolution looks at each channel and frame by itself, so it commutes with moving
channels from frame to frame; with its stride of 2 a quarter of the numbers is left to move. Only
the frames that nothing moves into differ: zero before the convolution, `relu(bias)` after it.
"""

from __future__ import annotations

import numpy as np
import paddle
from paddle import Tensor, nn

from train.models.pptsm_v2 import SHIFT_BEFORE_STAGE, PPTSMv2
from train.models.temporal_shift import temporal_shift


def delay_shift(network: nn.Sequential) -> None:
    """Let the first block of a fused student's third stage shift; other networks stay as they are.

    Args:
        network: `Sequential(backbone, head)` of `export.network.fuse.fuse`; changed in place.

    Raises:
        TypeError: the network is not fused.
    """
    backbone = network[0]
    if not isinstance(backbone, PPTSMv2):
        return
    block = backbone.stages[SHIFT_BEFORE_STAGE][0]
    if not block.fused:
        raise TypeError("the convolution that the shift goes behind must be fused first")
    bias = block.dw_conv.bias.numpy()
    block.delayed_shift = DelayedShift(np.maximum(bias, 0), backbone.num_seg)


class DelayedShift(nn.Layer):
    """Shift in time, with other values than zero where nothing moves in.

    Input and output: float32 `[N * num_seg, C, H, W]`.

    Args:
        fill: float32 `[C]`, what every position of such a frame holds.
        num_seg: frames a clip.
    """

    def __init__(self, fill: np.ndarray, num_seg: int) -> None:
        super().__init__()
        self.num_seg = num_seg
        # The shift itself says which channel lacks which frame.
        ones = paddle.ones([num_seg, len(fill), 1, 1])
        empty = 1.0 - temporal_shift(ones, num_seg)
        added = empty * paddle.to_tensor(fill).reshape([1, -1, 1, 1])
        # A number a channel of a clip's frames together: with five dimensions Paddle Inference
        # took as long for this sum as for a tenth of the network.
        self.register_buffer("fill", added.reshape([1, -1, 1, 1]), persistable=False)

    def forward(self, x: Tensor) -> Tensor:
        """Features `[N * num_seg, C, H, W]`, shifted; the same shape."""
        clips = temporal_shift(x, self.num_seg).reshape([-1, self.fill.shape[1], *x.shape[2:]])
        return (clips + self.fill).reshape([-1, *x.shape[1:]])
