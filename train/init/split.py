"""One split into training, validation and test: by groups, with every class in its share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from infer.system.errors import ClipDuetError, listed
from train.data.grouped_split import Counts, grouped_split, held_by
from train.data.lists import LIST_NAMES
from train.data.near_duplicates import Bits, NearDuplicate, joined_groups, near_duplicates

PARTS = tuple(LIST_NAMES.values())
SHARES = (0.7, 0.15, 0.15)
MOST_ALIKE = 0.2
"""Share of the clips that may become one group because they look the same: more is a camera."""
SAME = 0.01
"""Share of hash bits that copies differ in at most, where a whole set looks alike."""


class SplitError(ClipDuetError):
    """The clips are too few for a split."""


@dataclass(frozen=True)
class Split:
    """Where each clip went, and what is to be said of it.

    Attributes:
        parts: int64 [clips], places in `PARTS`.
        groups: the group of each clip, copies joined.
        grouped: whether groups were kept apart.
        pairs: clips that look the same, the nearest first.
    """

    parts: npt.NDArray[np.int64]
    groups: list[str]
    grouped: bool
    pairs: list[NearDuplicate]


def split_clips(
    paths: Sequence[str],
    labels: Sequence[int],
    groups: Sequence[str],
    bits: Bits,
    *,
    names: Sequence[str],
    seed: int = 0,
) -> Split:
    """Split clips; the same for the same clips and seed.

    Args:
        paths: of the clips; each its own group where the groups are too few.
        labels: class of each clip.
        groups: what each clip belongs to.
        bits: bool [clips, bits], hashes of the clips.
        names: of the classes.
        seed: decides among groups that are alike.

    Raises:
        SplitError: a class cannot be trained, or a list would stay empty.
    """
    pairs = near_duplicates(bits, np.ones(len(bits), np.bool_))
    problems: list[str] = []
    for grouped, of in ((True, groups), (False, paths)):
        joined = pairs
        together = joined_groups(of, joined)
        if _largest(together) > max(_largest(of), MOST_ALIKE * len(paths)):
            joined = [pair for pair in pairs if pair.distance <= SAME]
            together = joined_groups(of, joined)
        parts, problems = _deal(labels, together, names, seed)
        if not problems:
            return Split(parts, together, grouped, pairs)
    what = "the clips are too few for lists for training, validation and test; add clips"
    raise SplitError(listed(what, problems))


def _largest(groups: Sequence[str]) -> int:
    return int(np.unique(np.asarray(groups), return_counts=True)[1].max())


def _deal(
    labels: Sequence[int], groups: Sequence[str], names: Sequence[str], seed: int
) -> tuple[npt.NDArray[np.int64], list[str]]:
    """The part of each clip, and what is wrong with the split."""
    found, group = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.zeros((len(found), len(names)), np.int64)
    np.add.at(counts, (group, np.asarray(labels)), 1)
    # A class of fewer groups than parts cannot be in all of them.
    everywhere = (counts > 0).sum(axis=0) >= len(PARTS)

    def penalty(held: Counts) -> int:
        untrained = int((held[0] == 0).sum())
        empty = int((held.sum(axis=1) == 0).sum())
        missing = int((held[1:, everywhere] == 0).sum())
        return 10_000 * untrained + 100 * empty + missing

    parts = grouped_split(counts, SHARES, seed=seed, penalty=penalty)
    held = held_by(counts, parts, len(PARTS))
    problems = [
        f"no clip of {names[i]} for training" for i in np.flatnonzero(held[0] == 0).tolist()
    ]
    problems += [f"no clip for {PARTS[i]}" for i in np.flatnonzero(held.sum(axis=1) == 0).tolist()]
    return parts[group], problems
