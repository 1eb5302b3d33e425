"""The difference of two results: on the same clips, or on clips of their own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.stats.resample import Bootstrap, Interval, percentile, resample
from benchmarks.stats.score import score_interval
from benchmarks.stats.student_t import t_interval, t_quantile


def paired_difference(
    first: npt.ArrayLike,
    second: npt.ArrayLike,
    bootstrap: Bootstrap,
    *,
    matched: bool,
    most: float = 1.0,
) -> Interval:
    """Mean of `second` minus mean of `first` on the same clips.

    The widest of the bootstrap, the score interval of the clips and Student's t over pairs, as in
    `benchmarks.stats.evidence`.

    Args:
        first: [pairs, clips]: right or wrong, or what a student gains.
        second: the same of the other result, [pairs, clips].
        bootstrap: settings of the resampling.
        matched: pair n of one is pair n of the other, and both are drawn together. Else the pairs
            of each are drawn on their own; clips are drawn together always.
        most: the largest difference that a clip can have, 2 for gains.

    Raises:
        ValueError: other clips, or pairs that match but are not as many.
    """
    a, b = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or (matched and len(a) != len(b)):
        raise ValueError(f"no paired difference of {a.shape} and {b.shape} values")
    level = bootstrap["level"]
    by_clip = b.mean(axis=0) - a.mean(axis=0)
    score = score_interval(by_clip, -most, most, level=level)
    if matched:
        others = [resample(np.stack([a, b]), **bootstrap).contrast([-1.0, 1.0])]
        if len(a) > 1:
            others.append(t_interval((b - a).mean(axis=1).tolist(), level=level))
    else:
        others = [_own_pairs(a, b, bootstrap)]
        if min(len(a), len(b)) > 1:
            others.append(_welch(a.mean(axis=1), b.mean(axis=1), level))
    return score.widened(*others, least=-most, most=most)


def unpaired_difference(first: Mapping[str, Any], second: Mapping[str, Any]) -> Interval:
    """Second minus first of two estimates from clips of their own.

    The interval combines both (Newcombe 1998, "MOVER"): as wide as each estimate is uncertain on
    the side in question.

    Args:
        first: a stored interval with `point`, `low` and `high`.
        second: the same of the other result.
    """
    point = second["point"] - first["point"]
    below = math.hypot(second["point"] - second["low"], first["high"] - first["point"])
    above = math.hypot(second["high"] - second["point"], first["point"] - first["low"])
    return Interval(point, point - below, point + above, second.get("level", 0.95))


def _own_pairs(
    a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], bootstrap: Bootstrap
) -> Interval:
    """Clips drawn together, the pairs of each result on their own."""
    # A quantity for each pair: the same clips are drawn for all.
    means = resample(np.concatenate([a, b])[:, None], **bootstrap).draws
    of_a, of_b = np.random.default_rng([bootstrap["seed"], 1]).spawn(2)
    drawn = []
    for rng, part in ((of_a, means[:, : len(a)]), (of_b, means[:, len(a) :])):
        pairs = part.shape[1]
        chosen = rng.multinomial(pairs, np.full(pairs, 1 / pairs), size=len(part)) / pairs
        drawn.append((part * chosen).sum(axis=1))
    return percentile(float(b.mean() - a.mean()), drawn[1] - drawn[0], bootstrap["level"])


def _welch(a: npt.NDArray[np.float64], b: npt.NDArray[np.float64], level: float) -> Interval:
    """Welch's t interval of the difference of two means."""
    parts = [float(one.var(ddof=1)) / len(one) for one in (a, b)]
    point, error = float(b.mean() - a.mean()), sum(parts)
    if error == 0:
        return Interval(point, point, point, level)
    freedom = error**2 / sum(
        part**2 / (len(one) - 1) for part, one in zip(parts, (a, b), strict=True)
    )
    # Whole degrees of freedom, rounded down: never narrower.
    half = t_quantile((1 + level) / 2, max(1, int(freedom))) * math.sqrt(error)
    return Interval(point, point - half, point + half, level)
