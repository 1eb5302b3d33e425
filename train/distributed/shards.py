"""The shard of a batch that every process sees, and the whole batch for a loss between clips."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np
import paddle
from paddle import Tensor, distributed
from paddle.autograd import PyLayer

from train.data.loader import Batch
from train.distributed.team import Team
from train.losses.float32 import in_float32


@dataclass(frozen=True)
class Shards:
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
        """`[n, D]`, a row a clip of this process, to `[N, D]`, those of all; by all at once.

        A loss of these rows is the same in every process. Its gradient by the own rows is scaled
        so that means over each process's clips, added up by their numbers and divided by that of
        all clips, come to the gradient of the loss of the whole batch.
        """
        if len(self.clips) == 1:
            return rows
        return _Whole.apply(in_float32(rows), self)


def redistribute(batch: Batch, team: Team) -> tuple[Batch, Shards]:
    """What a process sees of a batch of which each has read its share.

    A process takes part in every sum of a step and needs a clip for that. Where one could read
    nothing, all clips are distributed again, in their order. That is rare, and so may be slow.

    Args:
        batch: one view a clip.
        team: all of its processes are here with their shards of the same batch.

    Returns:
        What this process sees, and how many clips each one does. Some see none where fewer clips
        can be read than there are processes.
    """
    own = len(batch.labels)
    counts = team.sums([own * (rank == team.rank) for rank in range(team.size)])
    shards = Shards(tuple(map(int, counts)), team.rank)
    if all(shards.clips) or shards.total < team.size:
        return batch, shards
    parts = team.gather((batch.clips, batch.labels, batch.indices))
    places = np.array_split(np.arange(shards.total), team.size)
    clips, labels, indices = (
        np.concatenate(arrays)[places[team.rank]] for arrays in zip(*parts, strict=True)
    )
    shard = dataclasses.replace(batch, clips=clips, labels=labels, indices=indices)
    return shard, Shards(tuple(map(len, places)), team.rank)


class _Whole(PyLayer):
    """Shards differ where clips cannot be read: zeros stand for the others', and all are added."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, shards: Shards) -> Tensor:
        ctx.shards = shards
        before = sum(shards.clips[: shards.rank])
        after = shards.total - before - rows.shape[0]
        zeros = [paddle.zeros([n, *rows.shape[1:]], rows.dtype) for n in (before, after)]
        whole = paddle.concat([zeros[0], rows, zeros[1]])
        distributed.all_reduce(whole)
        return whole

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        shards = ctx.shards
        own, begin = shards.clips[shards.rank], sum(shards.clips[: shards.rank])
        return gradient[begin : begin + own] * (shards.total / own)
