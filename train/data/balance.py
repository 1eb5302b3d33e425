"""Classes of unequal size: how often a clip is repeated, what a class weighs, what is told.

With the share b of `DATASET.train.balance`, an epoch shows the n clips of a class

    m = round(n * (largest / n) ** b)

times in all, where `largest` is the number of clips of the largest class: 0 changes nothing, 1
shows every class as often as the largest. Each clip comes m // n times; the m % n clips that come
once more are drawn anew in every epoch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from train.data.lists import Sample
from train.data.loader import epoch_order

TOLD_FROM = 3.0
"""Clips of the largest class for one of the smallest from which on it is told."""
SHOWN = 3
"""Classes of either end that are named."""


class Order(NamedTuple):
    """The clips of an epoch.

    Attributes:
        indices: int64 [n], places in the list.
        copies: int64 [n], how often the same clip came before in this epoch.
    """

    indices: np.ndarray
    copies: np.ndarray


def labels_of(samples: Sequence[Sample]) -> np.ndarray:
    """int64 [n]: the labels of a list."""
    return np.array([sample.label for sample in samples], np.int64)


def shown_counts(labels: np.ndarray, balance: float, *, classes: int) -> np.ndarray:
    """int64 [classes]: how many clips of each class an epoch shows."""
    counts = np.bincount(labels, minlength=classes)
    if not balance or not len(labels):
        return counts
    ratio = counts.max() / np.maximum(counts, 1)
    return np.rint(counts * ratio**balance).astype(np.int64)


def epoch_length(labels: np.ndarray, balance: float) -> int:
    """How many clips an epoch shows; without balance those of the list."""
    if not balance:
        return len(labels)
    return int(shown_counts(labels, balance, classes=int(labels.max(initial=0)) + 1).sum())


def balanced_order(labels: np.ndarray, balance: float, *, seed: int, epoch: int) -> Order:
    """The clips of one epoch in their order, by the seed and the epoch alone."""
    classes = int(labels.max(initial=0)) + 1
    shown = shown_counts(labels, balance, classes=classes)
    times = np.zeros(len(labels), np.int64)
    rng = np.random.default_rng([seed, epoch, 2])  # another stream than that of the order
    for label in range(classes):
        own = np.flatnonzero(labels == label)
        if len(own):
            whole, rest = divmod(int(shown[label]), len(own))
            times[own] = whole
            times[rng.permutation(own)[:rest]] += 1
    indices = np.repeat(np.arange(len(labels)), times)
    copies = np.arange(len(indices)) - np.repeat(np.cumsum(times) - times, times)
    order = epoch_order(len(indices), seed=seed, epoch=epoch, shuffle=True)
    return Order(indices[order], copies[order])


def class_weights(given: str | Sequence[float], shown: np.ndarray) -> np.ndarray:
    """float32 [classes]: what the loss to the labels weighs each class with.

    Args:
        given: the weights, or `balanced`: clips / (classes * clips of the class), whose mean over
            the clips that are shown is 1. Classes without a clip do not count, and weigh 1.
        shown: int64 [classes], clips of each class in an epoch.
    """
    if not isinstance(given, str):
        return np.asarray(given, np.float32)
    there = shown > 0
    weights = shown.sum() / (max(1, int(there.sum())) * np.maximum(shown, 1))
    return np.where(there, weights, 1.0).astype(np.float32)


def unequal_classes(counts: npt.ArrayLike) -> tuple[int, int] | None:
    """The largest and the smallest class that has clips, where they differ by `TOLD_FROM` or more.

    Args:
        counts: int [classes], clips of each class.
    """
    clips = np.asarray(counts)
    there = np.flatnonzero(clips)
    if not len(there):
        return None
    large, small = int(clips.argmax()), int(there[clips[there].argmin()])
    return (large, small) if clips[large] >= TOLD_FROM * clips[small] else None


def balance_notes(
    names: Sequence[str],
    labels: np.ndarray,
    *,
    balance: float,
    weights: str | Sequence[float] | None,
) -> list[str]:
    """What is told of unequal classes, and of what is done about them.

    Args:
        names: of the classes, by label.
        labels: int64 [n], of the training clips.
        balance: `DATASET.train.balance`.
        weights: `DATASET.class_weights`.
    """
    counts = np.bincount(labels, minlength=len(names))
    lines = []
    if balance:
        length = epoch_length(labels, balance)
        lines.append(
            f"balance {balance:g}: an epoch shows {length} clips, those of rare classes several "
            f"times; the list holds {len(labels)}"
        )
    if weights is not None:
        shown = shown_counts(labels, balance, classes=len(names))
        found = class_weights(weights, shown)
        lines.append(
            f"class weights from {found.min():.3g} ({names[int(found.argmin())]}) to "
            f"{found.max():.3g} ({names[int(found.argmax())]})"
        )
    unequal = unequal_classes(counts)
    if lines or unequal is None:
        return lines
    ratio = counts[unequal[0]] / counts[unequal[1]]
    there = np.flatnonzero(counts)
    by_size = there[np.argsort(counts[there], kind="stable")]

    def told(labels: np.ndarray) -> str:
        return ", ".join(f"{names[label]} {counts[label]}" for label in labels.tolist())

    # A class is named at one end only.
    few = min(SHOWN, len(by_size) // 2)
    return [
        f"warning: the classes are unequal, {ratio:.3g} to 1: most clips have "
        f"{told(by_size[::-1][:few])}, fewest {told(by_size[:few])}; DATASET.train.balance repeats "
        "the clips of rare classes, DATASET.class_weights weighs their loss"
    ]
