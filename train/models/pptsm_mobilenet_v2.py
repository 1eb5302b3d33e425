"""PP-TSM on MobileNetV2: inverted residuals that are shifted in time where they have a shortcut.

Source: PaddleVideo's PPTSM_MobileNetV2 (keys, shapes and outputs are the same, so its checkpoints
load), after Sandler et al., MobileNetV2 (2018), and Lin et al., TSM (2019).
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from paddle import Tensor, nn
from paddle.nn import functional as F

from train.models.layers import LONG, ConvBNAct, segment_mean
from train.models.temporal_shift import temporal_shift


class StageSettings(NamedTuple):
    """A row of the paper's table 2."""

    expansion: int
    width: int
    depth: int
    stride: int


STAGES = (
    StageSettings(1, 16, 1, 1),
    StageSettings(6, 24, 2, 2),
    StageSettings(6, 32, 3, 2),
    StageSettings(6, 64, 4, 2),
    StageSettings(6, 96, 3, 1),
    StageSettings(6, 160, 3, 2),
    StageSettings(6, 320, 1, 1),
)
STEM_WIDTH, LAST_WIDTH = 32, 1280

conv_bn_relu6 = partial(ConvBNAct, act=nn.ReLU6, names=LONG)


class InvertedResidual(nn.Layer):
    """1 x 1 to more channels, depthwise 3 x 3, 1 x 1 to fewer.

    With `shortcut` the input is added, and the other path sees it shifted in time.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        *,
        expansion: int,
        num_seg: int,
        shortcut: bool,
    ) -> None:
        super().__init__()
        self.num_seg, self.shortcut = num_seg, shortcut
        inside = in_channels * expansion
        self._expand_conv = conv_bn_relu6(in_channels, inside, 1)
        self._bottleneck_conv = conv_bn_relu6(inside, inside, 3, stride, depthwise=True)
        self._linear_conv = ConvBNAct(inside, out_channels, 1, act=None, names=LONG)

    def forward(self, x: Tensor) -> Tensor:
        """Features `[N * num_seg, in_channels, H, W]` to `[N * num_seg, out_channels, h, w]`."""
        y = temporal_shift(x, self.num_seg) if self.shortcut else x
        y = self._linear_conv(self._bottleneck_conv(self._expand_conv(y)))
        return x + y if self.shortcut else y


class Stage(nn.Sequential):
    """A block that changes width and resolution, and blocks with shortcuts; PaddleVideo's names.

    Input: features `[N * num_seg, in_channels, H, W]`. Output: `[N * num_seg, width, h, w]`.
    """

    def __init__(
        self, in_channels: int, width: int, row: StageSettings, name: str, *, num_seg: int
    ) -> None:
        super().__init__()
        for number in range(1, row.depth + 1):
            first = number == 1
            block = InvertedResidual(
                in_channels if first else width,
                width,
                row.stride if first else 1,
                expansion=row.expansion,
                num_seg=num_seg,
                shortcut=not first,
            )
            self.add_sublayer("_first_block" if first else f"{name}_{number}", block)


class PPTSMMobileNetV2(nn.Layer):
    """MobileNetV2 TSM: per-frame features, mean over segments, one linear layer.

    Input: float32 `[N * num_seg, 3, H, W]`, normalised. Output: logits `[N, class_num]`.

    Args:
        class_num: number of classes.
        num_seg: frames a clip.
        scale: multiplier of every width but, below 1, the last one's; widths are rounded down.
    """

    def __init__(self, *, class_num: int = 400, num_seg: int = 8, scale: float = 1.0) -> None:
        super().__init__()
        self.num_seg = num_seg
        channels = int(STEM_WIDTH * scale)
        self.conv1 = conv_bn_relu6(3, channels, 3, 2)
        self._stage_names = []
        for number, row in enumerate(STAGES, start=2):
            name, width = f"conv{number}", int(row.width * scale)
            self.add_sublayer(name, Stage(channels, width, row, name, num_seg=num_seg))
            self._stage_names.append(name)
            channels = width
        last = int(LAST_WIDTH * max(scale, 1.0))
        self.conv9 = conv_bn_relu6(channels, last, 1)
        self.out = nn.Linear(last, class_num)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels float32 `[N * num_seg, 3, H, W]` to logits `[N, class_num]`."""
        x = self.conv1(x)
        for name in self._stage_names:
            x = getattr(self, name)(x)
        x = F.adaptive_avg_pool2d(self.conv9(x), 1)
        return self.out(segment_mean(x, self.num_seg))
