"""Student's t: the interval of a mean over a few trainings, or over a few groups of clips."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from benchmarks.stats.resample import LEVEL, Groups, Interval


def t_interval(values: Sequence[float], *, level: float = LEVEL) -> Interval:
    """Student's t interval of a mean; one value bounds nothing (infinite on both sides)."""
    data = np.asarray(values, dtype=np.float64)
    if not data.size:
        raise ValueError("a t interval needs at least one value")
    mean = float(data.mean())
    if data.size == 1:
        return Interval(mean, -math.inf, math.inf, level)
    error = float(data.std(ddof=1)) / math.sqrt(data.size)
    half = t_quantile((1 + level) / 2, data.size - 1) * error
    return Interval(mean, mean - half, mean + half, level)


def group_t_interval(values: npt.ArrayLike, groups: Groups, *, level: float = LEVEL) -> Interval:
    """Student's t interval of a mean over clips that are independent between groups alone.

    The variance is that of the groups' sums around the mean of their stratum, and the degrees of
    freedom are the groups less the strata: with few groups resampling them is too narrow (Cameron
    and Miller 2015, "A practitioner's guide to cluster-robust inference").

    Args:
        values: [clips].
        groups: of the clips; in a stratum of one group nothing is known of the spread, and the
            interval is infinite.
        level: of the interval.
    """
    data = np.asarray(values, np.float64)
    mean, strata = float(data.mean()), groups.stratum
    sizes = np.bincount(groups.of_clip, minlength=len(strata)).astype(np.float64)
    sums = np.bincount(groups.of_clip, data, minlength=len(strata))
    in_stratum = np.bincount(strata)
    if in_stratum.min() < 2:
        return Interval(mean, -math.inf, math.inf, level)
    center = np.bincount(strata, sums) / np.bincount(strata, sizes)
    residuals = sums - center[strata] * sizes
    spread = np.bincount(strata, residuals**2) * in_stratum / (in_stratum - 1)
    freedom = int(in_stratum.sum()) - len(in_stratum)
    half = t_quantile((1 + level) / 2, freedom) * math.sqrt(spread.sum()) / len(data)
    return Interval(mean, mean - half, mean + half, level)


def t_p_value(interval: Interval, *, values: int) -> float | None:
    """Two-sided p-value of a mean that is zero, from its `t_interval` over so many values.

    None where one value gives no interval.
    """
    if values < 2:
        return None
    from scipy.stats import t

    error = (interval.high - interval.point) / t_quantile((1 + interval.level) / 2, values - 1)
    if error == 0:
        return 0.0 if interval.point else 1.0
    return float(2 * t.sf(abs(interval.point) / error, values - 1))


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values of tests that are looked at together, adjusted (Holm, 1979).

    The chance that any of them is below a level although all their means are zero is at most that
    level.
    """
    adjusted, reached = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = reached
    return adjusted


def t_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t distribution.

    Raises:
        ValueError: a probability outside 0..1, or no degree of freedom.
    """
    if not 0 < probability < 1 or freedom < 1:
        raise ValueError(f"no t quantile for p={probability}, {freedom} degrees of freedom")
    from scipy.stats import t

    return float(t.ppf(probability, freedom))
