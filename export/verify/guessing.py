"""Warn of a network that does not classify: it exports and verifies like any other.

It may answer one class for nearly every clip. Counted are the answers other than the most frequent
one. A network that answers as often as the list has it would give as many as the list has clips of
other classes. It has collapsed when it gives less than a tenth of these, and so few that this is no
chance: as few or fewer would come out once in a hundred if every clip got the list's share. A list
of one class, and a few clips, accuse nobody.

Or it may be right no more often than luck explains of an answer that is always the list's commonest
class. That is told where it is no bad luck: a network that is right twice as often (or half the way
to always, where that is less) would be right so rarely once in a hundred.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from export.verify.recorded import Recorded
from train.data.lists import Sample
from train.evaluation.evaluate import Evaluation

LEFT = 0.1
"""Share of the other classes' clips that need another answer."""
LEVEL = 0.01
"""Largest chance to accuse a network that answers classes as often as the list has them, or that
is right twice as often as the commonest class."""

FEWEST = 10
"""Clips that an export warns about, at least: who verifies on fewer knows that they tell little."""


@dataclass(frozen=True)
class OneClass:
    """`label` is the answer to `answers` of `clips` that could be read."""

    label: int
    answers: int
    clips: int


def one_class(said: npt.ArrayLike, truth: npt.ArrayLike) -> OneClass | None:
    """The class that a network answers for nearly everything, or None.

    Args:
        said: int [clips], its answers to clips that could be read.
        truth: int [clips], the true classes.
    """
    said, truth = np.asarray(said), np.asarray(truth)
    if not len(said):
        return None
    found, counts = np.unique(said, return_counts=True)
    most = int(found[counts.argmax()])
    others, expected = len(said) - int(counts.max()), int((truth != most).sum())
    # On clips of one class, the same wrong answer to all of them may be a mere confusion.
    if len(np.unique(truth)) < 2 or others >= LEFT * expected:
        return None
    # One clip more of the class itself: what the list lacks may still be there.
    if binomial_tail(others, len(said), expected / (len(said) + 1)) >= LEVEL:
        return None
    return OneClass(most, int(counts.max()), len(said))


def at_chance(right: int, clips: int, commonest: int) -> bool:
    """Whether a network is certainly no better than the same answer every time.

    Args:
        right: clips that it answers right.
        clips: of the list.
        commonest: of them, those of the commonest class.
    """
    share = commonest / clips
    better = min(2 * share, (1 + share) / 2)
    luck = 1 - binomial_tail(right - 1, clips, share) >= LEVEL
    return luck and commonest < clips and binomial_tail(right, clips, better) < LEVEL


def guessing_warning(
    found: Evaluation,
    recorded: Recorded | None,
    whole: Sequence[Sample],
    classes: Sequence[str],
    *,
    list_file: str,
) -> str | None:
    """What to tell of a trained network that guesses; None of one that does not.

    Args:
        found: its answers to some of the validation list, or to all.
        recorded: what training recorded of the whole list, where it did.
        whole: the validation list.
        classes: names by label.
        list_file: the list.
    """
    read = found.decoded
    if read.sum() < FEWEST:
        return None
    same = one_class(found.predictions[read], found.labels[read])
    if same is not None:
        told = (
            f"the network answers {classes[same.label]!r} for {same.answers} of {same.clips} clips "
            f"of {list_file}, which are of {len(np.unique(found.labels[read]))} classes"
        )
    else:
        right, labels = int(found.correct.sum()), found.labels
        if recorded is not None:
            right, labels = recorded.right, np.array([sample.label for sample in whole])
        commonest = int(np.bincount(labels).max())
        if not at_chance(right, len(labels), commonest):
            return None
        told = (
            f"the network is right on {right} of {len(labels)} clips of {list_file} "
            f"({right / len(labels):.4f}); the same answer every time would be on {commonest}, and "
            "luck explains a difference like this"
        )
    return (
        f"warning: {told}\n"
        "  The bundle computes what was trained, and that does not classify. Train longer, look at "
        "the learning rate and the labels, or take another checkpoint."
    )


def binomial_tail(most: int, tries: int, chance: float) -> float:
    """Probability of at most `most` hits in `tries`, each with `chance`."""
    if most < 0:
        return 0.0
    if chance <= 0 or most >= tries:
        return 1.0
    if chance >= 1:
        return 0.0
    hit, miss = math.log(chance), math.log1p(-chance)
    logs = (
        math.lgamma(tries + 1) - math.lgamma(k + 1) - math.lgamma(tries - k + 1)
        + k * hit + (tries - k) * miss
        for k in range(most + 1)
    )  # fmt: skip
    return min(1.0, math.fsum(map(math.exp, logs)))
