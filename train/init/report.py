"""What is said of a set of clips."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from train.data.balance import unequal_classes
from train.data.unreadable import Failed, reasons
from train.evaluation.shares import wilson_of_share
from train.init.look import Look
from train.init.split import PARTS, SAME, Split

MOST = 10  # pairs that are named
ACCURACY = 0.8
"""The accuracy that the interval of a test list is told for."""


def about_clips(looks: Sequence[Look], failed: Sequence[Failed]) -> list[str]:
    """Count, length, size, rate, and what cannot be read."""
    frames = [look.frames for look in looks]
    seconds = [look.seconds for look in looks if look.seconds is not None]
    sizes = Counter(f"{look.width}x{look.height}" for look in looks).most_common()
    rates = Counter(f"{look.fps:.3g}" if look.fps else "unknown" for look in looks).most_common()
    lines = [f"{len(looks) + len(failed)} clips, {len(looks)} of them can be read"]
    if seconds:
        lines.append(f"length: {_range(seconds, '.1f')} s; {_range(frames, '.0f')} frames")
    elif looks:
        lines.append(f"length: {_range(frames, '.0f')} frames")
    if looks:
        lines.append(f"size: {_most(sizes)}; frames a second: {_most(rates)}")
    damaged = [look.clip.path for look in looks if look.damaged]
    if damaged:
        lines.append(f"{len(damaged)} clips are damaged in part, such as {damaged[0]}")
    if failed:
        lines.append(f"{len(failed)} clips cannot be read and are in no list:")
        lines += [f"  {line}" for line in reasons(failed)]
    return lines


def about_balance(labels: Sequence[int], names: Sequence[str]) -> list[str]:
    """A line where classes differ much in their number of clips."""
    counts = np.bincount(labels, minlength=len(names))
    unequal = unequal_classes(counts)
    if unequal is None:
        return []
    many, few = unequal
    return [
        f"warning: {names[many]} has {counts[many]} clips, {names[few]} only {counts[few]}: a "
        "network may hardly ever answer the rare classes, whose clips are repeated therefore "
        "(DATASET.train.balance); look at the accuracy of each class"
    ]


def about_split(split: Split, paths: Sequence[str], labels: Sequence[int], how: str) -> list[str]:
    """Groups, clips that look the same, and how little the test clips can show."""
    lines = []
    number = len(set(split.groups))
    if how == "none":
        lines.append(
            "groups: none; if clips of one camera, person or video belong together, write "
            "groups.txt (`path group` a line) beside them and run this again with --overwrite"
        )
    elif split.grouped:
        lines.append(f"groups: {number}, by {how}; none stands in two lists")
    else:
        lines.append(
            f"warning: too few groups (by {how}) to keep them apart: clips of one group stand in "
            "several lists, and accuracy will look better than it is"
        )
    apart = [p for p in split.pairs if split.parts[p.first] != split.parts[p.second]]
    if split.pairs and not apart:
        lines.append(f"{len(split.pairs)} pairs of clips look the same; no pair is in two lists")
    elif apart:
        lines.append(
            f"{len(split.pairs)} pairs of clips look the same, {len(apart)} of them in two lists: "
            "so many are alike that they may be of one fixed camera; give copies one group"
        )
        lines += [f"  {paths[p.first]} and {paths[p.second]}" for p in apart[:MOST]]
        if len(apart) > MOST:
            lines.append(f"  and {len(apart) - MOST} more")
    twice = [p for p in split.pairs if p.distance <= SAME and labels[p.first] != labels[p.second]]
    if twice:
        first = twice[0]
        lines.append(
            f"warning: {len(twice)} pairs are nearly equal and have two labels, such as "
            f"{paths[first.first]} and {paths[first.second]}: one may be wrong"
        )
    tested = int((split.parts == PARTS.index("test")).sum())
    low, high = (100 * end for end in wilson_of_share(ACCURACY, tested))
    lines.append(
        f"{tested} test clips show little: where {100 * ACCURACY:.0f} % are right, the 95 % "
        f"interval is {low:.0f} to {high:.0f} %, {high - low:.0f} points wide; to be seen, a "
        "difference between two networks has to be of that order"
    )
    return lines


def _range(values: Sequence[float], form: str) -> str:
    low, middle, high = min(values), float(np.median(values)), max(values)
    return f"{low:{form}} to {high:{form}}, median {middle:{form}}"


def _most(counts: list[tuple[str, int]]) -> str:
    shown = ", ".join(f"{value} ({number})" for value, number in counts[:3])
    return shown if len(counts) <= 3 else f"{shown} and {len(counts) - 3} more"
