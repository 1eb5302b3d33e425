"""What thresholds are worth in every deployment: answers that they take, and how many are right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.deployments.accuracy import MODELS
from benchmarks.stats.resample import Bootstrap
from benchmarks.stats.shares import conditional_share, share_interval
from export.confidence.temperature import log_softmax
from infer.bundle.confidence import Confidence

Logits = Sequence[npt.ArrayLike]


def add_accepted(
    rows: Sequence[dict[str, Any]],
    logits: Mapping[str, Mapping[str, Logits]],
    confidences: Mapping[str, Sequence[Confidence | None]],
    *,
    labels: npt.ArrayLike,
    bootstrap: Bootstrap,
) -> None:
    """Add `accepted` to the models of the rows of a gate's cells, where all bundles say thresholds.

    Args:
        rows: of the result file.
        logits: by model and cell those of each pair, float [clips, classes].
        confidences: by model what the bundle of each pair says.
        labels: int [clips].
        bootstrap: settings of the resampling.
    """
    for model in MODELS:
        known = [one for one in confidences[model] if one is not None]
        if len(known) < len(confidences[model]):
            continue
        goals = sorted(set.intersection(*(set(one.thresholds) for one in known)))
        for row in rows:
            row[model]["accepted"] = [
                _measured(logits[model][row["cell"]], known, goal, labels, bootstrap)
                for goal in goals
            ]


def _measured(
    logits: Logits,
    known: Sequence[Confidence],
    goal: float,
    labels: npt.ArrayLike,
    bootstrap: Bootstrap,
) -> dict[str, Any]:
    """Means over pairs, with intervals over pairs and clips; clips that failed are not taken."""
    taken, right = [], []
    for one, said in zip(logits, known, strict=True):
        values = np.asarray(one, np.float64)
        read = np.asarray(np.isfinite(values).all(axis=1))
        values = np.where(read[:, None], values, 0.0)
        scores = np.exp(log_softmax(values, said.temperature)).max(axis=1)
        taken.append(read & (scores >= said.thresholds[goal]))
        right.append(taken[-1] & (values.argmax(axis=1) == np.asarray(labels)))
    precision = conditional_share(right, taken, bootstrap)
    return {
        "precision_goal": goal,
        "share": share_interval(taken, bootstrap).to_dict(),
        "precision": None if precision is None else precision.to_dict(),
    }
