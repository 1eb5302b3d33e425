"""AFD: attention decides which of the student's layers learns how much from which of the teacher's.

After Ji et al., Show, Attend and Distill (2021), and its public implementations.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import paddle
from paddle import ParamAttr, Tensor, nn
from paddle.nn import functional as F
from paddle.nn.initializer import XavierNormal

from train.losses.float32 import full_precision
from train.models.layers import no_decay


class AttentionTransfer(nn.Layer):
    """The loss over all pairs of layers, with the queries, keys and positions that it learns.

    A layer's value is its map of mean squared activation, scaled to length 1; its query or key is
    a projection of its channels' means. For every layer of the teacher, attention weighs the
    student's layers, and so their squared distances.

    Args:
        student: channels of the student's layers.
        teacher: channels of the teacher's layers.
        qk_dim: length of queries and keys.
    """

    def __init__(
        self, student: Sequence[int], teacher: Sequence[int], *, qk_dim: int = 128
    ) -> None:
        super().__init__()
        self.qk_dim = qk_dim
        self.queries = nn.LayerList([_LinearBN(width, qk_dim) for width in teacher])
        self.keys = nn.LayerList([_LinearBN(width, qk_dim) for width in student])
        # One matrix a layer of the teacher: the pair's bilinear weight.
        self.bilinear = _LinearBN(qk_dim, qk_dim * len(teacher))
        self.positions_t = self.create_parameter(
            [len(teacher), qk_dim], attr=ParamAttr(initializer=XavierNormal())
        )
        self.positions_s = self.create_parameter(
            [len(student), qk_dim], attr=ParamAttr(initializer=XavierNormal())
        )

    @full_precision
    def forward(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        """The loss for features `[N, C, H, W]` of each layer; none flows into the teacher."""
        teacher = [feature.detach() for feature in teacher]
        attention = self.attention(student, teacher)
        loss = paddle.zeros([], dtype=attention.dtype)
        for index, feature in enumerate(teacher):
            wanted = _value(feature, feature.shape[2:]).unsqueeze(1)
            own = paddle.stack([_value(f, feature.shape[2:]) for f in student], axis=1)
            distances = ((own - wanted) ** 2).mean(axis=2)
            loss = loss + (attention[:, index] * distances).sum(axis=1).mean()
        return loss

    def attention(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        """`[N, teacher's layers, student's layers]`; the last axis sums to 1."""
        queries = [f(t.mean(axis=[2, 3])) for f, t in zip(self.queries, teacher, strict=True)]
        keys = [F.relu(f(s.mean(axis=[2, 3]))) for f, s in zip(self.keys, student, strict=True)]
        count = len(student)
        flat = paddle.stack(keys, axis=1).reshape([-1, self.qk_dim])
        paired = self.bilinear(flat).reshape([-1, count, len(teacher), self.qk_dim])
        logits = (paired * paddle.stack(queries, axis=1).unsqueeze(1)).sum(axis=-1)
        places = paddle.matmul(self.positions_t, self.positions_s, transpose_y=True)
        return F.softmax((logits.transpose([0, 2, 1]) + places) / math.sqrt(self.qk_dim))


class _LinearBN(nn.Layer):
    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        # A batch norm takes no notice of a bias.
        self.linear = nn.Linear(in_features, out_features, bias_attr=False)
        self.bn = nn.BatchNorm1D(out_features, weight_attr=no_decay(), bias_attr=no_decay())

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.linear(x))


def _value(feature: Tensor, size: Sequence[int]) -> Tensor:
    """`[N, H * W]` of length 1: where the layer is active, at the given resolution."""
    energy = (feature * feature).mean(axis=1, keepdim=True)
    return F.normalize(F.adaptive_avg_pool2d(energy, list(size)).flatten(start_axis=1), axis=1)
