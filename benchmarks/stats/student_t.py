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


def t_quantile(probability: float, freedom: int) -> float:
    """Quantile of Student's t distribution, by bisection of its exact distribution function."""
    if not 0 < probability < 1 or freedom < 1:
        raise ValueError(f"no t quantile for p={probability}, {freedom} degrees of freedom")
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    low, high = 0.0, 1.0
    while _t_cdf(high, freedom) < probability:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if _t_cdf(middle, freedom) < probability else (low, middle)
    return (low + high) / 2


def _t_cdf(t: float, freedom: int) -> float:
    """P(T <= t) for t >= 0: the finite trigonometric series (Abramowitz & Stegun 26.7.3, .4)."""
    theta = math.atan2(t, math.sqrt(freedom))
    sine, cosine = math.sin(theta), math.cos(theta)
    term, total = 1.0, 0.0
    if freedom % 2:
        term = cosine
        for k in range(1, freedom, 2):
            total += term
            term *= cosine * cosine * (k + 1) / (k + 2)
        return 0.5 + (theta + sine * total) / math.pi
    for k in range(0, freedom, 2):
        total += term
        term *= cosine * cosine * (k + 1) / (k + 2)
    return 0.5 + sine * total / 2
