"""Every class by itself: recall, what deployment did to it, and classes that collapse.

A class collapses where at most a tenth of its recall in the reference is left, and chance does not
explain that: the exact one-sided sign test of clips (or groups) lost against won is below 5 %,
divided by the number of classes (Bonferroni).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.stats.evidence import widest
from benchmarks.stats.resample import Bootstrap, Groups, Interval, resample
from benchmarks.stats.shares import share_of_drawn

COLLAPSED_SHARE = 0.1
COLLAPSED_LEVEL = 0.95

Ints = npt.NDArray[np.int64]


def class_figures(
    right: Mapping[str, npt.ArrayLike],
    reference: str,
    labels: npt.ArrayLike,
    bootstrap: Bootstrap,
) -> dict[str, dict[str, Any]]:
    """Recall of every class in every deployment, and its change from the reference; JSON-ready.

    Args:
        right: by deployment bool [pairs, clips] of one model.
        reference: the deployment that the others are compared with.
        labels: int [clips]. Classes without a clip are left out.
        bootstrap: settings of the resampling.

    Returns:
        By deployment arrays over the classes that have clips: `class`, `clips`, `recall` with its
        `low` and `high` (Wilson's for one pair), and the `worst` class. Of others than the
        reference `change`: `point`, `low` and `high` of the recall less the reference's, paired,
        at the `level` at which all intervals together hold (Bonferroni); and `largest_fall`, the
        class that lost most, None where none lost.
    """
    truth = np.asarray(labels, np.int64)
    tables = {key: np.asarray(one, bool) for key, one in right.items()}
    present = np.unique(truth)
    groups = bootstrap.get("groups")
    sure = 1 - (1 - bootstrap["level"]) / len(present)
    recalls: dict[str, list[Interval]] = {key: [] for key in tables}
    changes: dict[str, list[Interval]] = {key: [] for key in tables}
    places = {key: place for place, key in enumerate(tables)}
    for one in present:
        chosen = truth == one
        own: Bootstrap = {**bootstrap, "groups": None if groups is None else groups.among(chosen)}
        drawn = resample(np.stack([table[:, chosen] for table in tables.values()]), **own)
        for key, place in places.items():
            recalls[key].append(share_of_drawn(drawn, place))
            weights = np.zeros(len(tables))
            weights[place] += 1
            weights[places[reference]] -= 1
            if key != reference:
                changes[key].append(widest(drawn, weights.tolist(), sure))
    clips = [int((truth == one).sum()) for one in present]
    found = {}
    for key, intervals in recalls.items():
        points = [interval.point for interval in intervals]
        found[key] = {
            "class": present.tolist(),
            "clips": clips,
            "recall": points,
            "low": [interval.low for interval in intervals],
            "high": [interval.high for interval in intervals],
            "worst": int(present[int(np.argmin(points))]),
        }
        if key != reference:
            found[key]["change"] = _changes(changes[key], present, sure)
    return found


def _changes(intervals: list[Interval], present: Ints, level: float) -> dict[str, Any]:
    points = [interval.point for interval in intervals]
    lowest = int(np.argmin(points))
    return {
        "point": points,
        "low": [interval.low for interval in intervals],
        "high": [interval.high for interval in intervals],
        "level": level,
        "largest_fall": int(present[lowest]) if points[lowest] < 0 else None,
    }


def collapsed_classes(
    before: npt.ArrayLike,
    after: npt.ArrayLike,
    labels: npt.ArrayLike,
    *,
    groups: Groups | None = None,
) -> list[dict[str, Any]]:
    """The classes that one model no longer recognises in a deployment.

    Args:
        before: bool [clips], what is right in the reference.
        after: bool [clips], what is right in the deployment.
        labels: int [clips].
        groups: of clips that are not independent.

    Returns:
        Of each its `class`, `clips`, and how many are right `before` and `after`.
    """
    from scipy.stats import binomtest

    was, now, truth = np.asarray(before, bool), np.asarray(after, bool), np.asarray(labels)
    of_clip = np.arange(len(truth)) if groups is None else groups.of_clip
    present = np.unique(truth)
    found = []
    for one in present:
        own = truth == one
        right = int(was[own].sum()), int(now[own].sum())
        if not right[0] or right[1] > COLLAPSED_SHARE * right[0]:
            continue
        net = np.bincount(of_clip[own], now[own].astype(int) - was[own].astype(int))
        lost, won = int((net < 0).sum()), int((net > 0).sum())
        p = binomtest(lost, lost + won, alternative="greater").pvalue if lost + won else 1.0
        if p < (1 - COLLAPSED_LEVEL) / len(present):
            counts = {"clips": int(own.sum()), "before": right[0], "after": right[1]}
            found.append({"class": int(one), **counts})
    return found
