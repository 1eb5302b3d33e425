"""Catch a quantised network that forgot classes: one answer for everything, or recalls that fell.

A network of less precision may lose accuracy, and that is measured elsewhere. Here it is asked
whether it is still the same classifier, and the question must not be answered by a few clips:

- One class for everything: the trained network answers `m` of `n` clips with another class.
  If answers were spread as before, all `n` would be that one class with the chance
  `(1 - m / n) ** n`.
- A recall that collapsed: it is less than half of what it was, and of the clips of that class on
  which the two networks differ, so many are losses that a coin would explain them with less than
  the allowed chance (exact one-sided sign test of McNemar's pairs, shared among the classes after
  Bonferroni). Ten losses without a win are enough for eight classes, six never are.

Both chances must lie below 1 %, so an innocent file is accused at most once in fifty times, and an
export that makes two of them, one for each kind of activations, at most once in twenty-five.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from export.verify.parity import VerificationError
from train.evaluation.evaluate import Evaluation

LEVEL = 0.01
"""Largest chance, of each of the two tests, to accuse a network that lost nothing."""

LEFT = 0.5
"""A recall has collapsed when less than this share of it is left."""


@dataclass(frozen=True)
class CollapsedClass:
    """A class whose recall collapsed.

    Attributes:
        label: the class.
        clips: clips of it that could be read.
        before: share of them that the trained network answers right.
        after: the same for the quantised network.
        chance: of so many losses among the differences, were they the toss of a coin.
    """

    label: int
    clips: int
    before: float
    after: float
    chance: float


@dataclass(frozen=True)
class Collapse:
    """What was found.

    Attributes:
        clips: clips that both networks were asked about.
        one_class: the class that it answers for all of them; None where it answers several, or
            where too few answers changed to tell.
        falls: classes whose recall collapsed, the deepest fall first.
        blind: classes with too few right answers before to tell, whatever happened to them.
    """

    clips: int
    one_class: int | None
    falls: tuple[CollapsedClass, ...]
    blind: tuple[int, ...]

    @property
    def found(self) -> bool:
        """Whether it answers one class for all, or the recall of a class collapsed."""
        return self.one_class is not None or bool(self.falls)

    def to_dict(self) -> dict[str, Any]:
        """What `bundle.json` says of a network that passed."""
        return {
            "clips": self.clips,
            "level": LEVEL,
            "recall_left": LEFT,
            "classes_with_too_few_clips": len(self.blind),
        }


def find_collapse(reference: Evaluation, found: Evaluation) -> Collapse:
    """Compare a quantised network's answers with the trained network's, clip by clip.

    Args:
        reference: the trained network on labelled clips.
        found: the quantised one on the same clips.
    """
    read = reference.decoded & found.decoded
    labels = reference.labels[read]
    before, after = reference.predictions[read], found.predictions[read]
    present = [int(label) for label in np.unique(labels)]
    allowed = LEVEL / max(1, len(present))
    falls, blind = [], []
    for label in present:
        own = labels == label
        right, still = before[own] == label, after[own] == label
        if sign_test(int(right.sum()), 0) >= allowed:
            blind.append(label)
        lost, won = int((right & ~still).sum()), int((~right & still).sum())
        chance = sign_test(lost, won)
        if chance < allowed and still.sum() < LEFT * right.sum():
            falls.append(
                CollapsedClass(
                    label, int(own.sum()), float(right.mean()), float(still.mean()), chance
                )
            )
    falls.sort(key=lambda fall: fall.after - fall.before)
    return Collapse(int(read.sum()), _one_class(before, after), tuple(falls), tuple(blind))


def check_collapse(
    what: str, reference: Evaluation, found: Evaluation, classes: Sequence[str]
) -> dict[str, Any]:
    """Refuse a network that forgot classes.

    Returns:
        What was tested, for `bundle.json`.

    Raises:
        VerificationError: names the classes, with their recalls before and after.
    """
    result = find_collapse(reference, found)
    if not result.found:
        return result.to_dict()
    if result.one_class is not None:
        told = f"answers {classes[result.one_class]!r} for all {result.clips} clips"
        answered = len(np.unique(reference.predictions[reference.decoded]))
        told += f" of the validation list, where the trained network answers {answered} classes"
    else:
        told = f"forgot {len(result.falls)} of {len(classes)} classes"
    lines = [f"{what} {told}: quantisation destroyed it"]
    lines += [
        f"  {classes[fall.label]!r}: recall {fall.before:.2f} before, {fall.after:.2f} after, "
        f"on {fall.clips} clips (by chance: {fall.chance:.1g})"
        for fall in result.falls
    ]
    lines.append(
        "  Let layers stay in float: --int8-goal 0.5; train for 8 bits: make qat; or export "
        "without it: --no-int8"
    )
    raise VerificationError("\n".join(lines))


def _one_class(before: np.ndarray, after: np.ndarray) -> int | None:
    if len(after) == 0 or len(np.unique(after)) > 1:
        return None
    other = int((before != after[0]).sum())
    return int(after[0]) if (1 - other / len(after)) ** len(after) < LEVEL else None


def sign_test(lost: int, won: int) -> float:
    """The exact one-sided sign test: chance of at least `lost` heads in `lost + won` tosses."""
    total = lost + won
    return sum(math.comb(total, k) for k in range(lost, total + 1)) / 2**total
