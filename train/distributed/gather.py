"""What every process sees of a batch, and how a loss between clips comes to see all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import paddle
from paddle import Tensor, distributed
from paddle.autograd import PyLayer

from train.losses.wide import widened


@dataclass(frozen=True)
class Shares:
    """How many clips of a batch each process sees, in the order in which they follow each other.

    Attributes:
        clips: their numbers by rank.
        rank: this process.
    """

    clips: tuple[int, ...]
    rank: int = 0

    @property
    def total(self) -> int:
        """Clips of all processes."""
        return sum(self.clips)

    def whole(self, rows: Tensor) -> Tensor:
        """``[n, D]``, a row a clip of this process, to ``[N, D]``, those of all; by all at once.

        A loss of these rows is the same in every process. Its gradient by the own rows is scaled
        so that means over each process's clips, added up by their numbers and divided by that of
        all clips, come to the gradient of the loss of the whole batch.
        """
        if len(self.clips) == 1:
            return rows
        return _Whole.apply(widened(rows), self)


class _Whole(PyLayer):
    """Shares differ where clips cannot be read: zeros stand for the others', and all are added."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, shares: Shares) -> Tensor:
        ctx.shares = shares
        before = sum(shares.clips[: shares.rank])
        after = shares.total - before - rows.shape[0]
        zeros = [paddle.zeros([n, *rows.shape[1:]], rows.dtype) for n in (before, after)]
        whole = paddle.concat([zeros[0], rows, zeros[1]])
        distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        shares = ctx.shares
        own, begin = shares.clips[shares.rank], sum(shares.clips[: shares.rank])
        return gradient[begin : begin + own] * (shares.total / own)
