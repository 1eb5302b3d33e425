"""Models that answer one class for nearly every clip: they do not classify.

Counted are the answers other than the most frequent one. A model that answers as often as the
list has it would give as many as the list has clips of other classes. A model has collapsed when
it gives less than a tenth of these, and so few that this is no chance: as few or fewer would come
out once in a hundred if every clip got the list's share. A list of one class, and a few clips,
accuse nobody.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.deployments.accuracy import Answers

LEFT = 0.1
"""Share of the other classes' clips that need another answer."""
LEVEL = 0.01
"""Largest chance to accuse a model that answers classes as often as the list has them."""


def one_class(given: Answers, labels: npt.ArrayLike) -> dict[str, int] | None:
    """The class that a model answers for nearly everything, or None.

    Args:
        given: answers of the model.
        labels: int [clips], the true classes.

    Returns:
        `class`, `answers` (how many of the clips get it) and `clips` (that could be read).
    """
    read = given.predictions >= 0
    said, truth = given.predictions[read], np.asarray(labels)[read]
    if not len(said):
        return None
    found, counts = np.unique(said, return_counts=True)
    most = int(found[counts.argmax()])
    others, expected = len(said) - int(counts.max()), int((truth != most).sum())
    # On clips of one class, the same wrong answer to all of them may be a mere confusion.
    if len(np.unique(truth)) < 2 or others >= LEFT * expected:
        return None
    from scipy.stats import binom

    # One clip more of the class itself: what the list lacks may still be there.
    if binom.cdf(others, len(said), expected / (len(said) + 1)) >= LEVEL:
        return None
    return {"class": most, "answers": int(counts.max()), "clips": len(said)}


def collapsed(
    models: Mapping[str, Sequence[Answers]], labels: npt.ArrayLike
) -> list[dict[str, Any]]:
    """Every model that answers one class, with `model` and its trained `pair` from 0.

    Args:
        models: by name the answers of each trained pair.
        labels: int [clips], the true classes.
    """
    return [
        {"model": model, "pair": pair, **found}
        for model, pairs in models.items()
        for pair, given in enumerate(pairs)
        if (found := one_class(given, labels)) is not None
    ]
