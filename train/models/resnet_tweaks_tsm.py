"""The teacher: ResNet-vd with leaky ReLU and a temporal shift in every block.

Source: PaddleVideo's ResNetTweaksTSM (keys, shapes and outputs are the same), after He et al.,
Bag of Tricks (2019), and Lin et al., TSM (2019). Parameters carry no fixed names, so that two
such networks can live in one process.
"""

from __future__ import annotations

from functools import partial

from paddle import Tensor, nn
from paddle.nn import functional as F

from train.models.layers import LONG, ConvBNAct
from train.models.temporal_shift import temporal_shift

BLOCKS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Blocks a stage by depth; 50 and deeper use bottlenecks."""

WIDTHS = (64, 128, 256, 512)

conv_bn = partial(ConvBNAct, act=None, names=LONG)
conv_bn_leaky = partial(ConvBNAct, act=nn.LeakyReLU, names=LONG)


def block_name(depth: int, stage: int, index: int) -> str:
    """PaddleVideo's name of a block."""
    return f"bb_{stage}_{index}" if depth >= 50 else f"res{stage + 2}{chr(97 + index)}"


class Bottleneck(nn.Layer):
    """1 x 1, 3 x 3, 1 x 1 with four times the width at the end; the residual path is shifted."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, num_seg: int, *, first: bool
    ) -> None:
        super().__init__()
        self.num_seg = num_seg
        self.conv0 = conv_bn_leaky(in_channels, channels, 1)
        self.conv1 = conv_bn_leaky(channels, channels, 3, stride)
        self.conv2 = conv_bn(channels, channels * 4, 1)
        self.short = conv_bn(in_channels, channels * 4, 1) if first else None
        self.pooled = first and stride > 1
        self.act = nn.LeakyReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Features `[N * num_seg, in_channels, H, W]` to `[N * num_seg, 4 * channels, h, w]`."""
        y = self.conv2(self.conv1(self.conv0(temporal_shift(x, self.num_seg))))
        if self.pooled:
            # ResNet-D: a strided 1 x 1 convolution would skip three pixels in four.
            x = F.avg_pool2d(x, 2, stride=2, ceil_mode=True)
        return self.act(y + (x if self.short is None else self.short(x)))


class BasicBlock(nn.Layer):
    """Two 3 x 3 convolutions; the residual path is shifted."""

    def __init__(
        self, in_channels: int, channels: int, stride: int, num_seg: int, *, first: bool
    ) -> None:
        super().__init__()
        self.num_seg = num_seg
        self.conv0 = conv_bn_leaky(in_channels, channels, 3, stride)
        self.conv1 = conv_bn(channels, channels, 3)
        self.short = conv_bn(in_channels, channels, 1, stride) if first else None
        self.act = nn.LeakyReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Features `[N * num_seg, in_channels, H, W]` to `[N * num_seg, channels, h, w]`."""
        y = self.conv1(self.conv0(temporal_shift(x, self.num_seg)))
        return self.act(y + (x if self.short is None else self.short(x)))


class ResNetTweaksTSM(nn.Layer):
    """ResNet-vd TSM without its classifier.

    Input: float32 `[N * num_seg, 3, H, W]`, normalised. Output: features
    `[N * num_seg, C, H / 32, W / 32]`, C being 512 times the width, of bottlenecks 2048 times.

    Args:
        depth: 18, 34, 50, 101 or 152.
        num_seg: frames a clip.
        width: multiplier of every width, for small machines; 1 is the public network.

    Raises:
        KeyError: for another depth (a config is checked before it gets here).
    """

    def __init__(self, *, depth: int, num_seg: int = 8, width: float = 1.0) -> None:
        super().__init__()
        bottleneck = depth >= 50
        block = Bottleneck if bottleneck else BasicBlock
        stem = int(32 * width)
        channels = int(WIDTHS[0] * width)
        self.conv1_1 = conv_bn_leaky(3, stem, 3, 2)
        self.conv1_2 = conv_bn_leaky(stem, stem, 3)
        self.conv1_3 = conv_bn_leaky(stem, channels, 3)
        self._block_names = []
        for stage, count in enumerate(BLOCKS[depth]):
            wide = int(WIDTHS[stage] * width)
            for i in range(count):
                stride = 2 if i == 0 and stage > 0 else 1
                name = block_name(depth, stage, i)
                self.add_sublayer(name, block(channels, wide, stride, num_seg, first=i == 0))
                self._block_names.append(name)
                channels = wide * (4 if bottleneck else 1)

    def forward(self, x: Tensor) -> Tensor:
        """Pixels `[N * num_seg, 3, H, W]` to features `[N * num_seg, C, H / 32, W / 32]`."""
        x = self.conv1_3(self.conv1_2(self.conv1_1(x)))
        x = F.max_pool2d(x, 3, stride=2, padding=1)
        for name in self._block_names:
            x = getattr(self, name)(x)
        return x
