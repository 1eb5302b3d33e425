"""Models that answer one class for nearly every clip, or no longer recognise some classes.

The first do not classify; the rule is that of an export's warning (`export.verify.guessing`). For
the second see `benchmarks.measures.classes`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.deployments.accuracy import Answers
from benchmarks.measures.classes import collapsed_classes
from benchmarks.stats.resample import Groups
from export.verify.guessing import one_class


def collapsed(
    models: Mapping[str, Sequence[Answers]], labels: npt.ArrayLike
) -> list[dict[str, Any]]:
    """Every model that answers one class, with `model`, its trained `pair` from 0, and the rest.

    Args:
        models: by name the answers of each trained pair.
        labels: int [clips], the true classes.

    Returns:
        Of each its `class`, `answers` (how many of the clips get it) and `clips` (that could be
        read).
    """
    found = []
    for model, pairs in models.items():
        for pair, given in enumerate(pairs):
            read = given.predictions >= 0
            same = one_class(given.predictions[read], np.asarray(labels)[read])
            if same is not None:
                told = {"class": same.label, "answers": same.answers, "clips": same.clips}
                found.append({"model": model, "pair": pair, **told})
    return found


def lost_classes(
    models: Mapping[str, Sequence[Sequence[Answers]]],
    labels: npt.ArrayLike,
    groups: Groups | None = None,
) -> list[dict[str, Any]]:
    """Every class that a model no longer recognises, with `model` and trained `pair` from 0.

    Args:
        models: by name the answers of each trained pair in the reference, then in a deployment.
        labels: int [clips], the true classes.
        groups: of clips that are not independent.
    """
    return [
        {"model": model, "pair": pair, **one}
        for model, (whole, here) in models.items()
        for pair, (before, after) in enumerate(zip(whole, here, strict=True))
        for one in collapsed_classes(before.correct, after.correct, labels, groups=groups)
    ]
