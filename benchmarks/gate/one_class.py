"""Models that answer one class for nearly every clip: they do not classify.

The rule is that of an export's warning (`export.verify.guessing`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.deployments.accuracy import Answers
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
