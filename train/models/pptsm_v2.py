"""The student: PP-TSMv2, a PP-LCNetV2 that shifts features in time once.

Source: PaddleVideo's PPTSM_v2 (keys, shapes and outputs are the same, so its checkpoints load)
and PP-LCNetV2 (Cui et al., 2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import paddle
from paddle import Tensor, nn
from paddle.nn import functional as F

from train.models.convolution import Conv2D
from train.models.layers import (
    ConvBNAct,
    SqueezeExcitation,
    segment_mean,
    tsm_linear,
)
from train.models.temporal_shift import temporal_shift


class StageSettings(NamedTuple):
    """What distinguishes one stage of PP-LCNetV2 from the next; the output has 2x the width."""

    width: int
    kernel: int
    split_pw: bool
    rep: bool
    se: bool
    shortcut: bool


STAGES = (
    StageSettings(64, 3, split_pw=False, rep=False, se=False, shortcut=False),
    StageSettings(128, 3, split_pw=False, rep=False, se=False, shortcut=False),
    StageSettings(256, 5, split_pw=True, rep=True, se=True, shortcut=False),
    StageSettings(512, 5, split_pw=False, rep=True, se=False, shortcut=True),
)
SHIFT_BEFORE_STAGE = 2
"""Attention and shift sit before the third stage only: deep enough to matter, small enough."""


def scaled_width(channels: float) -> int:
    """Round to a multiple of 8 without losing more than a tenth (MobileNet's rule)."""
    width = max(8, int(channels + 4) // 8 * 8)
    return width + 8 if width < 0.9 * channels else width


class GlobalAttention(nn.Layer):
    """One gate a frame, computed from the mean activation of every frame of the clip.

    The mean runs over all channels and positions, some 200,000 values at 224 pixels.
    """

    def __init__(self, num_seg: int) -> None:
        super().__init__()
        self.num_seg = num_seg
        self.fc = tsm_linear(num_seg, num_seg)

    def forward(self, x: Tensor) -> Tensor:
        """Features `[N * num_seg, C, H, W]`, scaled; the same shape."""
        frame_mean = paddle.mean(x, axis=[1, 2, 3])
        gate = F.sigmoid(self.fc(paddle.reshape(frame_mean, [-1, self.num_seg])))
        return x * paddle.reshape(gate, [-1, 1, 1, 1])


class DepthwiseSeparable(nn.Layer):
    """Depthwise then pointwise convolution; optionally re-parameterised, gated, shortcut.

    With `rep` the depthwise part is a sum of k x k, ..., 3 x 3, 1 x 1 branches while training
    and the single convolution `dw_conv` once `export.network.fuse` has folded them together
    (`fused` is then true). Both sets of parameters are part of the public checkpoint's keys.
    """

    def __init__(
        self, in_channels: int, out_channels: int, stride: int, stage: StageSettings | None = None
    ) -> None:
        super().__init__()
        stage = stage or StageSettings(0, 3, split_pw=False, rep=False, se=False, shortcut=False)
        self.rep, self.fused, kernel = stage.rep, False, stage.kernel
        self.shortcut = stage.shortcut and stride == 1 and in_channels == out_channels
        if stage.rep:
            # A strided 1 x 1 branch would look at other pixels than the k x k centre does.
            kernels = [k for k in range(kernel, 0, -2) if k > 1 or stride == 1]
            self.dw_conv_list = nn.LayerList(
                [
                    ConvBNAct(in_channels, in_channels, k, stride, depthwise=True, act=None)
                    for k in kernels
                ]
            )
            self.dw_conv = Conv2D(
                in_channels, in_channels, kernel, stride, depthwise=True, bias=True
            )
            # The folded convolution is a function of the branches: it never learns itself.
            for parameter in self.dw_conv.parameters():
                parameter.stop_gradient = True
        else:
            self.dw_conv = ConvBNAct(in_channels, in_channels, kernel, stride, depthwise=True)
        self.se = SqueezeExcitation(in_channels) if stage.se else None
        if stage.split_pw:
            self.pw_conv_1 = ConvBNAct(in_channels, out_channels // 2, 1)
            self.pw_conv_2 = ConvBNAct(out_channels // 2, out_channels, 1)
        else:
            self.pw_conv = ConvBNAct(in_channels, out_channels, 1)
        self.split_pw = stage.split_pw
        # Set by `export.network.shift`, which moves the network's shift in here.
        self.delayed_shift: nn.Layer | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Features `[N, in_channels, H, W]` to `[N, out_channels, H / stride, W / stride]`."""
        y = self._depthwise(x)
        if self.se is not None:
            y = self.se(y)
        y = self.pw_conv_2(self.pw_conv_1(y)) if self.split_pw else self.pw_conv(y)
        return y + x if self.shortcut else y

    def _depthwise(self, x: Tensor) -> Tensor:
        if not self.rep:
            return self.dw_conv(x)
        if self.fused:
            y = F.relu(self.dw_conv(x))
            return y if self.delayed_shift is None else self.delayed_shift(y)
        y = self.dw_conv_list[0](x)
        for branch in self.dw_conv_list[1:]:
            y = y + branch(x)
        return F.relu(y)


class PPTSMv2(nn.Layer):
    """PP-TSMv2: per-frame PP-LCNetV2, one temporal shift, mean over segments, one linear layer.

    Input: float32 `[N * num_seg, 3, H, W]`, normalised. Output: logits `[N, class_num]`.

    Args:
        class_num: number of classes.
        num_seg: frames a clip.
        scale: width multiplier; every width is rounded to a multiple of 8.
        depths: blocks in each of the four stages.
        use_temporal_att: gate the frames before the shift (the recipe's 16-frame model).
        dropout_prob: dropout before the mean over segments.
        class_expand: width of the last 1 x 1 convolution.
        use_last_conv: without it the stage-4 features go straight to the classifier.
    """

    def __init__(
        self,
        *,
        class_num: int = 400,
        num_seg: int = 8,
        scale: float = 1.0,
        depths: Sequence[int] = (2, 2, 6, 2),
        use_temporal_att: bool = False,
        dropout_prob: float = 0.2,
        class_expand: int = 1280,
        use_last_conv: bool = True,
    ) -> None:
        super().__init__()
        self.num_seg = num_seg
        stem, first = scaled_width(32 * scale), scaled_width(64 * scale)
        self.stem = nn.Sequential(ConvBNAct(3, stem, 3, 2), DepthwiseSeparable(stem, first, 1))
        self.stages = nn.LayerList()
        for stage, depth in zip(STAGES, depths, strict=True):
            narrow, wide = scaled_width(stage.width * scale), scaled_width(stage.width * 2 * scale)
            self.stages.append(
                nn.Sequential(
                    *[
                        DepthwiseSeparable(wide if i else narrow, wide, 1 if i else 2, stage)
                        for i in range(depth)
                    ]
                )
            )
        features = scaled_width(STAGES[-1].width * 2 * scale)
        self.last_conv = Conv2D(features, class_expand, 1) if use_last_conv else None
        # The recipe's (old) dropout: nothing is scaled in training, inference scales by 1 - p.
        self.dropout = nn.Dropout(dropout_prob, mode="downscale_in_infer")
        self.fc = nn.Linear(class_expand if use_last_conv else features, class_num)
        self.global_attention = GlobalAttention(num_seg) if use_temporal_att else None

    def forward(self, x: Tensor) -> Tensor:
        """Pixels float32 `[N * num_seg, 3, H, W]` to logits `[N, class_num]`."""
        x = self.stem(x)
        for index, stage in enumerate(self.stages):
            if index == SHIFT_BEFORE_STAGE:
                if self.global_attention is not None:
                    x = self.global_attention(x)
                if stage[0].delayed_shift is None:
                    x = temporal_shift(x, self.num_seg)
            x = stage(x)
        x = F.adaptive_avg_pool2d(x, 1)
        if self.last_conv is not None:
            x = self.dropout(F.relu(self.last_conv(x)))
        return self.fc(segment_mean(x, self.num_seg))
