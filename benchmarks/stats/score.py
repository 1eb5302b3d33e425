"""The score interval of a mean of values that can only lie between two ends.

The bootstrap knows only what was seen: where deployment changed no answer at all on 50 clips, its
interval of the loss is zero wide, on 50 clips as on 50,000. The score interval asks instead which
true means would make the data unlikely, and lets what was never seen happen: the values may have
any distribution on the observed values and the two ends. Its variance is taken under the most
likely distribution with the mean in question.

For right and wrong it is Wilson's interval (1927), for the difference of two classifiers on the
same clips Tango's (1998); a contrast of four classifiers, which those do not cover, is the same
arithmetic with more values. The most likely distribution with a given mean is that of empirical
likelihood (Owen 1988).
"""

from __future__ import annotations

import functools
import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from benchmarks.stats.resample import LEVEL, Interval

PRECISION = 2.0**-45  # of a root, as a share of where it is looked for
POWER = 0.8
"""Share of experiments in which so many clips as are needed tell the mean from its limit."""

Weighted = tuple[tuple[float, float], ...]  # values and their shares, which sum to one


def score_interval(
    values: npt.ArrayLike, low: float, high: float, *, level: float = LEVEL
) -> Interval:
    """Interval of the mean of `values` [n], each in low..high.

    Raises:
        ValueError: no value, or one outside the ends.
    """
    seen, count, mean = _weighted(values, low, high)
    z = NormalDist().inv_cdf((1 + level) / 2)
    return Interval(
        mean,
        _bound(seen, count, mean, low, z),
        -_bound(tuple((-value, share) for value, share in seen), count, -mean, -high, z),
        level,
    )


def clips_needed(
    values: npt.ArrayLike, limit: float, low: float, high: float, *, level: float = LEVEL
) -> int | None:
    """How many values would tell their mean from `limit`, if they go on as they are.

    With that many, `score_interval` leaves out the limit in `POWER` of all experiments. None when
    the mean is the limit: then no number would.
    """
    seen, _, mean = _weighted(values, low, high)
    if abs(mean - limit) < 1e-12:
        return None
    z = NormalDist().inv_cdf((1 + level) / 2) + NormalDist().inv_cdf(POWER)
    return max(1, math.ceil(z * z * _variance(seen, mean, limit, low, high) / (mean - limit) ** 2))


def clips_if(
    values: npt.ArrayLike,
    truth: float,
    limit: float,
    low: float,
    high: float,
    *,
    level: float = LEVEL,
) -> float:
    """How many values would tell their mean from `limit` if it were `truth`; inf at the limit.

    Where the true mean is not the one seen, neither is the spread: it is that of the most likely
    distribution with this mean.
    """
    seen, _, mean = _weighted(values, low, high)
    if abs(truth - limit) < 1e-12:
        return math.inf
    normal = NormalDist()
    at_limit = normal.inv_cdf((1 + level) / 2) * math.sqrt(_variance(seen, mean, limit, low, high))
    at_truth = normal.inv_cdf(POWER) * math.sqrt(_variance(seen, mean, truth, low, high))
    return max(1.0, ((at_limit + at_truth) / (truth - limit)) ** 2)


def _weighted(values: npt.ArrayLike, low: float, high: float) -> tuple[Weighted, int, float]:
    data = np.asarray(values, dtype=np.float64)
    if data.ndim != 1 or not data.size:
        raise ValueError(f"values must be a vector and not empty, got {data.shape}")
    slack = 1e-9 * (high - low)
    if data.min() < low - slack or data.max() > high + slack:
        raise ValueError(f"values go from {data.min()} to {data.max()}, allowed: {low} to {high}")
    found, counts = np.unique(data, return_counts=True)
    shares = counts / data.size
    # Rounding may put the mean of equal values beside them, and outside the ends.
    mean = min(max(float(data.mean()), float(found[0])), float(found[-1]))
    return tuple(zip(found.tolist(), shares.tolist(), strict=True)), data.size, mean


@functools.lru_cache(maxsize=4096)  # deployments that change nothing are many, and alike
def _bound(seen: Weighted, count: int, mean: float, low: float, z: float) -> float:
    """The smallest true mean that the data do not contradict."""
    if mean <= low:
        return low

    from scipy.optimize import brentq

    def excess(limit: float) -> float:
        """Above zero where the data contradict the limit."""
        return (mean - limit) ** 2 * count - z * z * _variance_below(seen, limit, low)

    # Below the mean seen, where values that are all equal leave no variance.
    highest = mean - (mean - low) * PRECISION
    return float(brentq(excess, low, highest, xtol=(mean - low) * PRECISION))


def _variance(seen: Weighted, mean: float, limit: float, low: float, high: float) -> float:
    if limit < mean:
        return _variance_below(seen, limit, low)
    return _variance_below(tuple((-value, share) for value, share in seen), -limit, -high)


def _variance_below(seen: Weighted, limit: float, low: float) -> float:
    """Variance of the most likely distribution whose mean is `limit`, which lies below that seen.

    It weighs the values seen by 1 / (1 + tilt (value - limit)); where that does not bring the
    mean down to the limit, the rest of the probability goes to the lower end.
    """
    if limit <= low:
        return 0.0
    from scipy.optimize import brentq

    tilt = 1 / (limit - low)
    if _pull(seen, limit, 0.0) <= 0:
        tilt = 0.0  # The limit is the mean seen, to rounding.
    elif _pull(seen, limit, tilt) < 0:
        tilt = brentq(lambda one: _pull(seen, limit, one), 0.0, tilt, xtol=tilt * PRECISION)
    weights = [
        (value - limit, share / (1 + tilt * (value - limit)))
        for value, share in seen
        if value > low
    ]
    rest = max(0.0, 1 - sum(weight for _, weight in weights))
    return sum(weight * gap * gap for gap, weight in weights) + rest * (low - limit) ** 2


def _pull(seen: Weighted, limit: float, tilt: float) -> float:
    """Mean minus limit under a tilt; very low where the weight at the lower end is."""
    total = 0.0
    for value, share in seen:
        weight = 1 + tilt * (value - limit)
        if weight <= 1e-15:
            return -1e300  # finite: the search for a root needs a number
        total += share * (value - limit) / weight
    return total
