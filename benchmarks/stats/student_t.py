"""Student's t: the interval of a mean over a few trainings."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.stats.resample import LEVEL, Interval


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
