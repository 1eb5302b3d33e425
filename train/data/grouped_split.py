"""Split clips by groups, so that every part gets its share of every class.

Whole groups go to one part, so that what clips have in common, such as a camera, a person or the
video that they were cut from, is never on both sides of a split. How near the parts come to their
shares is then up to the groups: the first split is greedy, the largest group first, and is improved
until no move of one group and no exchange of two makes it better.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Counts = npt.NDArray[np.int64]
Penalty = Callable[[Counts], int]
"""How many conditions parts with these counts, int64 [parts, classes], do not meet."""

LEAST = 1e-9  # of an improvement


def grouped_split(
    counts: npt.ArrayLike, shares: Sequence[float], *, seed: int, penalty: Penalty
) -> Counts:
    """The part of each group, int64 [groups]; the same for the same seed.

    Args:
        counts: int [groups, classes], clips of each class in each group.
        shares: of each part; they sum to one.
        seed: decides among groups that are alike.
        penalty: conditions that go before the shares.
    """
    given = np.asarray(counts, dtype=np.int64)
    order = np.random.default_rng(seed).permutation(len(given))
    order = order[np.argsort(-given[order].sum(axis=1), kind="stable")]
    parts = np.empty(len(given), np.int64)
    parts[order] = _split(given[order], np.asarray(shares, np.float64), penalty)
    return parts


def held_by(counts: npt.NDArray[Any], parts: Counts, number: int) -> npt.NDArray[Any]:
    """What each of `number` parts holds, [parts, classes]: the counts of its groups, added up."""
    return np.stack([counts[parts == part].sum(axis=0) for part in range(number)])


def imbalance(counts: npt.ArrayLike, parts: npt.ArrayLike, shares: Sequence[float]) -> float:
    """How far parts are from their shares: squared, by class and in all, rare classes as others."""
    given, of = np.asarray(counts, np.float64), np.asarray(parts)
    values, weights = _weighted(given)
    gaps = held_by(values, of, len(shares)) - np.outer(shares, values.sum(axis=0))
    return float((weights * gaps**2).sum())


def _weighted(counts: npt.NDArray[np.float64]) -> tuple[np.ndarray, np.ndarray]:
    """Counts with the group's size as one class more, and what a squared gap of each weighs."""
    values = np.concatenate([counts, counts.sum(axis=1, keepdims=True)], axis=1)
    return values, 1 / np.maximum(values.sum(axis=0), 1)


def _split(counts: Counts, shares: npt.NDArray[np.float64], penalty: Penalty) -> Counts:
    values, weights = _weighted(counts.astype(np.float64))
    scaled = values * weights
    own = (scaled * values).sum(axis=1)
    gaps = -np.outer(shares, values.sum(axis=0))  # of what the parts hold to their shares
    parts = np.zeros(len(counts), np.int64)
    for group in range(len(counts)):
        parts[group] = int(np.argmin(gaps @ scaled[group]))
        gaps[parts[group]] += values[group]
    while True:
        change = _best(counts, parts, values, scaled, own, gaps, penalty)
        if change is None:
            return parts
        for group, part in change:
            gaps[parts[group]] -= values[group]
            gaps[part] += values[group]
            parts[group] = part


def _best(
    counts: Counts,
    parts: Counts,
    values: np.ndarray,
    scaled: np.ndarray,
    own: np.ndarray,
    gaps: np.ndarray,
    penalty: Penalty,
) -> list[tuple[int, int]] | None:
    """The best move or exchange: which groups go to which parts; None where nothing is better."""
    # Groups of one part that hold the same are alike: one of them stands for all.
    _, some = np.unique(np.column_stack([parts, counts]), axis=0, return_index=True)
    of = parts[some]
    pull = scaled[some] @ gaps.T  # [groups, parts]
    here = pull[np.arange(len(some)), of]
    moves = 2 * (own[some][:, None] + pull - here[:, None])
    moves[np.arange(len(some)), of] = np.inf
    apart = own[some][:, None] + own[some][None, :] - 2 * scaled[some] @ values[some].T
    there = pull[:, of]  # [g, h]: of g in the part of h
    swaps = 2 * (apart + there + there.T - here[:, None] - here[None, :])
    swaps[(of[:, None] == of[None, :]) | (np.arange(len(some))[:, None] > np.arange(len(some)))] = (
        np.inf
    )
    held = held_by(counts, parts, len(gaps))
    now = penalty(held)
    every = np.concatenate([moves.ravel(), swaps.ravel()])
    for place in np.argsort(every, kind="stable"):
        if not np.isfinite(every[place]) or (now == 0 and every[place] > -LEAST):
            return None
        if place < moves.size:
            group, part = divmod(int(place), moves.shape[1])
            change = [(int(some[group]), part)]
        else:
            one, other = divmod(int(place) - moves.size, len(some))
            change = [(int(some[one]), int(of[other])), (int(some[other]), int(of[one]))]
        then = held.copy()
        for group, part in change:
            then[parts[group]] -= counts[group]
            then[part] += counts[group]
        found = penalty(then)
        if found < now or (found == now and every[place] < -LEAST):
            return change
    return None
