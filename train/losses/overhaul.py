"""OverHaul: the student's features before the ReLU follow the teacher's, where those matter.

After Heo et al., A Comprehensive Overhaul of Feature Distillation (2019).
"""

from __future__ import annotations

import math

import paddle
from paddle import Tensor
from paddle.nn import functional as F

from train.losses.float32 import full_precision
from train.models.layers import ConvBNAct

LEAST_NEGATIVE = 1e-3
"""Share of a channel's values that must be negative for their mean to be the margin."""


@paddle.no_grad()
def margins(weight: Tensor, bias: Tensor) -> Tensor:
    """What the teacher's negative values are on average, by channel, from its last batch norm.

    After a batch norm a channel is about normal, N(bias, |weight|^2). A ReLU would make its
    negative part 0; a student that says -1 where the teacher says -2 is right already.

    Args:
        weight: the batch norm's scale `[C]`.
        bias: its shift `[C]`.

    Returns:
        `[C]` of the same type: the mean of the negative part, or -3 |weight| where hardly
        anything is negative.
    """
    scale, mean = weight.astype("float64").abs(), bias.astype("float64")
    ratio = mean / scale.clip(min=1e-12)
    below = 0.5 * (1 + paddle.erf(-ratio / math.sqrt(2)))
    density = (-0.5 * ratio * ratio).exp() / math.sqrt(2 * math.pi)
    rare = below < LEAST_NEGATIVE
    negative = mean - scale * density / paddle.where(rare, paddle.ones_like(below), below)
    return paddle.where(rare, -3 * scale, negative).astype(weight.dtype)


@full_precision
def partial_l2(student: Tensor, teacher: Tensor, margin: Tensor) -> Tensor:
    """Squared distance to the teacher's margin ReLU, summed over positions, by row of the batch.

    Positions where the teacher is negative and the student still lower cost nothing. No gradient
    flows into the teacher.

    Args:
        student: features before the ReLU, float `[N, C, H, W]`.
        teacher: features before the ReLU, float `[N, C, H, W]`.
        margin: `[C]`, see `margins`.
    """
    wanted = paddle.maximum(teacher.detach(), margin.reshape([1, -1, 1, 1]))
    counts = paddle.logical_or(student > wanted, wanted > 0).astype(student.dtype)
    return (counts * (student - wanted) ** 2).sum() / student.shape[0]


def connector_layer(in_channels: int, out_channels: int) -> ConvBNAct:
    """1 x 1 convolution and batch norm: from the student's channels to the teacher's.

    Input: float `[N, in_channels, H, W]`. Output: float `[N, out_channels, H, W]`. It learns
    with the student, is part of the run's checkpoints, and is no part of what is exported.
    """
    return ConvBNAct(in_channels, out_channels, 1, act=None)


def same_size(student: Tensor, teacher: Tensor) -> Tensor:
    """The student's map at the teacher's resolution, where that is another one."""
    size = teacher.shape[2:]
    if student.shape[2:] == size:
        return student
    return F.interpolate(student, size=size, mode="bilinear")
