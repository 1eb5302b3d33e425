"""PP-TSM on MobileNetV3: gated inverted residuals, shifted in time where they have a shortcut.

Source: PaddleVideo's PPTSM_MobileNetV3 (keys, shapes and outputs are the same, so its checkpoints
load), after Howard et al., MobileNetV3 (2019), and Lin et al., TSM (2019).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from paddle import Tensor, nn
from paddle.nn import functional as F

from train.models.convolution import Conv2D
from train.models.layers import (
    ConvBNAct,
    SqueezeExcitation,
    segment_mean,
)
from train.models.pptsm_v2 import scaled_width
from train.models.temporal_shift import temporal_shift


class BlockSettings(NamedTuple):
    """A row of the paper's tables 1 and 2."""

    kernel: int
    inside: int
    width: int
    se: bool
    hard: bool
    stride: int


Size = Literal["large", "small"]

BLOCKS: dict[Size, tuple[BlockSettings, ...]] = {
    "large": (
        BlockSettings(3, 16, 16, se=False, hard=False, stride=1),
        BlockSettings(3, 64, 24, se=False, hard=False, stride=2),
        BlockSettings(3, 72, 24, se=False, hard=False, stride=1),
        BlockSettings(5, 72, 40, se=True, hard=False, stride=2),
        BlockSettings(5, 120, 40, se=True, hard=False, stride=1),
        BlockSettings(5, 120, 40, se=True, hard=False, stride=1),
        BlockSettings(3, 240, 80, se=False, hard=True, stride=2),
        BlockSettings(3, 200, 80, se=False, hard=True, stride=1),
        BlockSettings(3, 184, 80, se=False, hard=True, stride=1),
        BlockSettings(3, 184, 80, se=False, hard=True, stride=1),
        BlockSettings(3, 480, 112, se=True, hard=True, stride=1),
        BlockSettings(3, 672, 112, se=True, hard=True, stride=1),
        BlockSettings(5, 672, 160, se=True, hard=True, stride=2),
        BlockSettings(5, 960, 160, se=True, hard=True, stride=1),
        BlockSettings(5, 960, 160, se=True, hard=True, stride=1),
    ),
    "small": (
        BlockSettings(3, 16, 16, se=True, hard=False, stride=2),
        BlockSettings(3, 72, 24, se=False, hard=False, stride=2),
        BlockSettings(3, 88, 24, se=False, hard=False, stride=1),
        BlockSettings(5, 96, 40, se=True, hard=True, stride=2),
        BlockSettings(5, 240, 40, se=True, hard=True, stride=1),
        BlockSettings(5, 240, 40, se=True, hard=True, stride=1),
        BlockSettings(5, 120, 48, se=True, hard=True, stride=1),
        BlockSettings(5, 144, 48, se=True, hard=True, stride=1),
        BlockSettings(5, 288, 96, se=True, hard=True, stride=2),
        BlockSettings(5, 576, 96, se=True, hard=True, stride=1),
        BlockSettings(5, 576, 96, se=True, hard=True, stride=1),
    ),
}
STEM_WIDTH = 16
SQUEEZED: dict[Size, int] = {"large": 960, "small": 576}
"""Width of the last convolution before the pooling."""

SLOPE, OFFSET = 0.2, 0.5
"""Of the gates' hard sigmoid. The paper's slope, and that of hard swish, is 1/6."""


def hard_sigmoid(x: Tensor) -> Tensor:
    """Of the gates; any shape, which stays."""
    return F.hardsigmoid(x, slope=SLOPE, offset=OFFSET)


class GatedResidual(nn.Layer):
    """1 x 1 to more channels, depthwise K x K, channel gates, 1 x 1 to fewer.

    Where input and output have one shape the input is added, and the other path sees it shifted
    in time.
    """

    def __init__(
        self, in_channels: int, inside: int, out_channels: int, row: BlockSettings, num_seg: int
    ) -> None:
        super().__init__()
        self.num_seg = num_seg
        self.shortcut = row.stride == 1 and in_channels == out_channels
        act = nn.Hardswish if row.hard else nn.ReLU
        self.expand_conv = ConvBNAct(in_channels, inside, 1, act=act)
        self.bottleneck_conv = ConvBNAct(
            inside, inside, row.kernel, row.stride, act=act, depthwise=True
        )
        self.mid_se = SqueezeExcitation(inside, sigmoid=hard_sigmoid) if row.se else None
        self.linear_conv = ConvBNAct(inside, out_channels, 1, act=None)

    def forward(self, x: Tensor) -> Tensor:
        """Features `[N * num_seg, in_channels, H, W]` to `[N * num_seg, out_channels, h, w]`."""
        y = temporal_shift(x, self.num_seg) if self.shortcut else x
        y = self.bottleneck_conv(self.expand_conv(y))
        if self.mid_se is not None:
            y = self.mid_se(y)
        y = self.linear_conv(y)
        return x + y if self.shortcut else y


class PPTSMMobileNetV3(nn.Layer):
    """MobileNetV3 TSM: per-frame features, mean over segments, one linear layer.

    Input: float32 `[N * num_seg, 3, H, W]`, normalised. Output: logits `[N, class_num]`.

    Args:
        class_num: number of classes.
        num_seg: frames a clip.
        size: `large`, PaddleVideo's PPTSM_MobileNetV3, or `small`, its
            PPTSM_MobileNetV3_small_x1_0.
        scale: width multiplier; every width but the last is rounded to a multiple of 8.
        dropout_prob: dropout before the mean over segments.
        class_expand: width of the last 1 x 1 convolution.
    """

    def __init__(
        self,
        *,
        class_num: int = 400,
        num_seg: int = 8,
        size: Size = "large",
        scale: float = 1.0,
        dropout_prob: float = 0.2,
        class_expand: int = 1280,
    ) -> None:
        super().__init__()
        self.num_seg = num_seg
        channels = scaled_width(STEM_WIDTH * scale)
        self.conv = ConvBNAct(3, channels, 3, 2, act=nn.Hardswish)
        self.blocks = nn.Sequential()
        for index, row in enumerate(BLOCKS[size]):
            inside, width = scaled_width(row.inside * scale), scaled_width(row.width * scale)
            self.blocks.add_sublayer(
                str(index), GatedResidual(channels, inside, width, row, num_seg)
            )
            channels = width
        squeezed = scaled_width(SQUEEZED[size] * scale)
        self.last_second_conv = ConvBNAct(channels, squeezed, 1, act=nn.Hardswish)
        self.last_conv = Conv2D(squeezed, class_expand, 1)
        # The recipe's (old) dropout: nothing is scaled in training, inference scales by 1 - p.
        self.dropout = nn.Dropout(dropout_prob, mode="downscale_in_infer")
        self.fc = nn.Linear(class_expand, class_num)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels float32 `[N * num_seg, 3, H, W]` to logits `[N, class_num]`."""
        x = self.last_second_conv(self.blocks(self.conv(x)))
        x = F.hardswish(self.last_conv(F.adaptive_avg_pool2d(x, 1)))
        return self.fc(segment_mean(self.dropout(x), self.num_seg))
