"""Who of a team sees which clips of a batch, where some could not be read."""

from __future__ import annotations

import dataclasses

import numpy as np

from train.data.loader import Batch
from train.distributed.gather import Shares
from train.distributed.team import Team


def deal(batch: Batch, team: Team) -> tuple[Batch, Shares]:
    """What a process sees of a batch of which each has read its share.

    A process takes part in every sum of a step and needs a clip for that. Where one could read
    nothing, all clips are dealt out again, in their order. That is rare, and so may be slow.

    Args:
        batch: one view a clip.
        team: all of its processes are here with their shares of the same batch.

    Returns:
        What this process sees, and how many clips each one does. Some see none where fewer clips
        can be read than there are processes.
    """
    own = len(batch.labels)
    counts = team.sums([own * (rank == team.rank) for rank in range(team.size)])
    shares = Shares(tuple(map(int, counts)), team.rank)
    if all(shares.clips) or shares.total < team.size:
        return batch, shares
    parts = team.gather((batch.clips, batch.labels, batch.indices))
    places = np.array_split(np.arange(shares.total), team.size)
    clips, labels, indices = (
        np.concatenate(arrays)[places[team.rank]] for arrays in zip(*parts, strict=True)
    )
    dealt = dataclasses.replace(batch, clips=clips, labels=labels, indices=indices)
    return dealt, Shares(tuple(map(len, places)), team.rank)
