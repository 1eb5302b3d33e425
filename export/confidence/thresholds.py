"""From which score on an answer is taken: thresholds for a wanted precision.

Temperature and thresholds come from the same clips, and a threshold is the lowest one that reaches
its goal there: on other clips the precision is somewhat less. The counts tell how much to rely on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from export.confidence.temperature import HIGHEST, LOWEST, fit_temperature, log_softmax

GOALS = (0.8, 0.9, 0.95, 0.99)
"""Shares of right answers among those that are taken."""
LEAST_CLIPS = 50
"""Clips that a temperature is fitted to; of fewer ones it says little."""
LEAST_TAKEN = 20
"""Answers that a threshold takes; the precision of fewer ones says little."""
_STEPS = 1_000_000


@dataclass(frozen=True)
class Threshold:
    """What is reached from a score on.

    Attributes:
        goal: the wanted precision.
        score: calibrated score from which an answer is taken.
        taken: clips whose best score is at least that.
        right: of these, clips with the right answer.
    """

    goal: float
    score: float
    taken: int
    right: int

    def to_dict(self) -> dict[str, Any]:
        """An entry of `thresholds` in `bundle.json`."""
        return {
            "precision": self.goal,
            "threshold": self.score,
            "clips": self.taken,
            "right": self.right,
        }


def confidence_entry(
    logits: npt.ArrayLike, labels: npt.ArrayLike, *, list_file: str
) -> dict[str, Any] | None:
    """The entry `confidence` of `bundle.json`.

    Args:
        logits: [clips, classes], finite.
        labels: int [clips].
        list_file: where the clips were listed.

    Returns:
        None where the clips fix no temperature: too few, or all of them are right.
    """
    values, truth = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    if len(truth) < LEAST_CLIPS:
        return None
    temperature = round(fit_temperature(values, truth), 6)
    if not LOWEST * 1.01 < temperature < HIGHEST / 1.01:
        return None  # it would be sure without end, or know nothing
    scores = np.exp(log_softmax(values, temperature)).max(axis=1)
    right = values.argmax(axis=1) == truth
    return {
        "temperature": temperature,
        "list": list_file,
        "clips": len(truth),
        "right": int(right.sum()),
        "thresholds": [one.to_dict() for one in thresholds(scores, right)],
    }


def why_no_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> str:
    """Why `confidence_entry` found none, in a few words; arguments as there."""
    values, truth = np.asarray(logits), np.asarray(labels)
    clips = len(truth)
    if clips < LEAST_CLIPS:
        return f"{clips} clips are fewer than {LEAST_CLIPS}"
    if (values.argmax(axis=1) == truth).all():
        return f"all {clips} clips are answered right"
    return "the scores do not tell right answers from wrong ones"


def thresholds(
    scores: npt.ArrayLike, right: npt.ArrayLike, goals: Sequence[float] = GOALS
) -> list[Threshold]:
    """The lowest threshold for each goal; none for goals that none reaches.

    Args:
        scores: [clips], of the answers.
        right: bool [clips], whether they are right.
        goals: shares, ascending.
    """
    # Rounded down first, so that the counts are those of the number that is written.
    steps = np.floor(np.asarray(scores, np.float64) * _STEPS).astype(np.int64)
    order = np.argsort(-steps, kind="stable")
    steps, hits = steps[order], np.cumsum(np.asarray(right, bool)[order])
    taken = np.arange(1, len(steps) + 1)
    # Equal scores are taken together.
    last = np.append(steps[1:] != steps[:-1], True)[: len(steps)]
    found = []
    for goal in goals:
        good = np.flatnonzero(last & (taken >= LEAST_TAKEN) & (hits >= goal * taken))
        if len(good):
            place = good[-1]
            score = max(int(steps[place]), 1) / _STEPS
            found.append(Threshold(goal, score, int(taken[place]), int(hits[place])))
    return found
