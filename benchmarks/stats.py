"""How sure are we: intervals and tests for classifiers that answered the same clips.

Everything is paired over clips. A resample of clips touches a mean only through how often each
*pattern* of answers occurs (for two classifiers: both right, only one, only the other, none), so
the bootstrap draws multinomial pattern counts instead of clip indices. That is the same
distribution, costs nothing in memory, and 10,000 resamples of 2,000 clips take milliseconds.
Pure NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
LEVEL = 0.95


class Bootstrap(TypedDict):
    """The settings that every resampling function here takes."""

    resamples: int
    seed: int
    level: float


@dataclass(frozen=True)
class Interval:
    """A point estimate with the interval that covers the truth in `level` of all experiments.

    `low` and `high` may be infinite where the data bound the quantity on one side only.
    """

    point: float
    low: float
    high: float
    level: float = LEVEL

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0

    def to_dict(self) -> dict[str, float | None]:
        """JSON has no infinity: an unbounded side is written as null."""
        return {key: value if math.isfinite(value) else None for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Paired:
    """b minus a on the same clips, with everything needed to say whether it is real.

    `only_a` and `only_b` count the clips that only one of the two got right; `p` is McNemar's
    exact two-sided p-value of these two counts.
    """

    clips: int
    only_a: int
    only_b: int
    difference: Interval
    p: float

    @property
    def distinguishable(self) -> bool:
        """True where the interval *and* the exact test exclude zero.

        The bootstrap is a little narrow when few clips differ, so one of the two alone is not
        enough to claim anything.
        """
        return self.difference.excludes_zero and self.p < 1 - self.difference.level

    def to_dict(self) -> dict[str, Any]:
        return {
            **self.difference.to_dict(),
            "clips": self.clips,
            "only_first": self.only_a,
            "only_second": self.only_b,
            "p": self.p,
            "distinguishable": self.distinguishable,
        }


def wilson(successes: int, trials: int, *, level: float = LEVEL) -> Interval:
    """Wilson's score interval of a share (Wilson 1927).

    Raises:
        ValueError: no trials, or a count outside 0..trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is not a share: give 0 <= successes <= trials")
    share = successes / trials
    z = NormalDist().inv_cdf((1 + level) / 2)
    shrink = 1 + z * z / trials
    centre = (share + z * z / (2 * trials)) / shrink
    half = z / shrink * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    # At 0 and 1 the bound equals the share exactly; rounding must not push it past.
    return Interval(
        share, max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half)), level
    )


def mcnemar_exact(only_a: int, only_b: int) -> float:
    """Exact two-sided p-value that a coin explains `only_a` against `only_b` (McNemar 1947).

    Clips on which both agree say nothing and are left out; with none left p is 1.
    """
    if only_a < 0 or only_b < 0:
        raise ValueError(f"discordant counts must not be negative, got {only_a} and {only_b}")
    total = only_a + only_b
    tail = sum(math.comb(total, k) for k in range(min(only_a, only_b) + 1))
    # Integers throughout: exact for any count, the one division is correctly rounded.
    return min(1.0, float(2 * tail / 2**total))


def paired_bootstrap(
    a_correct: npt.ArrayLike,
    b_correct: npt.ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Accuracy of b minus accuracy of a, percentile interval over resampled clips.

    a_correct, b_correct: bool [clips], the same clips in the same order.
    """
    return paired_contrast(
        [a_correct, b_correct], [-1.0, 1.0], resamples=resamples, seed=seed, level=level
    )


def paired_contrast(
    answers: Sequence[npt.ArrayLike],
    weights: Sequence[float],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """A weighted sum of accuracies over the same clips, with its bootstrap interval.

    A non-inferiority test is one of these: "at least X of the gain is left" holds when
    (student - baseline) - X (reference student - reference baseline) lies above zero.

    answers: k bool vectors [clips]; weights: k numbers.
    """
    table = _table(answers)
    if len(weights) != len(table):
        raise ValueError(f"{len(table)} answer vectors need as many weights, got {len(weights)}")
    scale = np.asarray(weights, dtype=np.float64)
    draws = _resampled_means(table, resamples=resamples, seed=seed) @ scale
    return _percentile(float(table.mean(axis=1) @ scale), draws, level)


def compare(
    a_correct: npt.ArrayLike,
    b_correct: npt.ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Paired:
    """Interval and exact test of b against a on the same clips."""
    a, b = _table([a_correct, b_correct]).astype(bool)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    difference = paired_bootstrap(a, b, resamples=resamples, seed=seed, level=level)
    return Paired(len(a), only_a, only_b, difference, mcnemar_exact(only_a, only_b))


def share_of_gain(
    reference_a: npt.ArrayLike,
    reference_b: npt.ArrayLike,
    cell_a: npt.ArrayLike,
    cell_b: npt.ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval | None:
    """(cell_b - cell_a) / (reference_b - reference_a), all four resampled over the same clips.

    A resample in which the reference gain is not positive has no share; it counts as unbounded
    on the side of the cell's gain, so that a shaky denominator widens the interval instead of
    disappearing from it. None when the reference gain itself is not positive.
    """
    table = _table([reference_a, reference_b, cell_a, cell_b])
    ref_a, ref_b, new_a, new_b = table.mean(axis=1)
    if ref_b <= ref_a:
        return None
    means = _resampled_means(table, resamples=resamples, seed=seed)
    below, above = means[:, 1] - means[:, 0], means[:, 3] - means[:, 2]
    # Means of 0/1 answers are multiples of 1/clips: half of that separates zero from rounding.
    positive = below > 0.5 / table.shape[1]
    unbounded = np.where(above > 0, np.inf, -np.inf)
    draws = np.where(positive, above / np.where(positive, below, 1.0), unbounded)
    return _percentile(float((new_b - new_a) / (ref_b - ref_a)), draws, level)


def crossed_bootstrap(
    differences: npt.ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
) -> Interval:
    """Mean of a seeds x clips table, resampling seeds and clips independently.

    All seeds answer the same clips, so clips are drawn once per resample for all seeds (crossed,
    not nested): the "pigeonhole" bootstrap (Owen 2007), which errs on the wide side. With few
    seeds also look at `t_interval` of the per-seed means.

    differences: [seeds, clips], for example b_correct - a_correct in {-1, 0, 1}.
    """
    table = np.asarray(differences, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise ValueError(f"differences must be [seeds, clips] and not empty, got {table.shape}")
    seeds, clips = table.shape
    patterns, counts = np.unique(table, axis=1, return_counts=True)
    rng = np.random.default_rng(seed)
    seed_weights = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    clip_weights = rng.multinomial(clips, counts / clips, size=resamples) / clips
    draws = np.einsum("rs,sk,rk->r", seed_weights, patterns, clip_weights, optimize=True)
    return _percentile(float(table.mean()), draws, level)


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


def _table(answers: Sequence[npt.ArrayLike]) -> npt.NDArray[np.float64]:
    vectors = [np.asarray(answer) for answer in answers]
    shapes = sorted({vector.shape for vector in vectors})
    if len(shapes) != 1 or len(shapes[0]) != 1 or shapes[0][0] == 0:
        raise ValueError(
            f"paired answers must be vectors of one length, at least one clip; got shapes {shapes}"
        )
    table = np.stack(vectors).astype(np.float64)
    if not np.isin(table, (0.0, 1.0)).all():
        raise ValueError("answers must be right or wrong (bool, or 0 and 1) for every clip")
    return table


def _resampled_means(
    table: npt.NDArray[np.float64], *, resamples: int, seed: int
) -> npt.NDArray[np.float64]:
    """[k, clips] 0/1 answers -> [resamples, k] accuracies of resampled clips."""
    clips = table.shape[1]
    patterns, counts = np.unique(table, axis=1, return_counts=True)
    drawn = np.random.default_rng(seed).multinomial(clips, counts / clips, size=resamples)
    means: npt.NDArray[np.float64] = drawn @ patterns.T / clips
    return means


def _percentile(point: float, draws: npt.NDArray[np.float64], level: float) -> Interval:
    tail = (1 - level) / 2
    # Order statistics, not interpolation: infinite draws stay infinite and never become NaN.
    low = float(np.quantile(draws, tail, method="lower"))
    high = float(np.quantile(draws, 1 - tail, method="higher"))
    # Rounding of equal draws must not leave the point a hair outside its own interval.
    slack = 1e-12 * max(1.0, abs(point))
    low = point if abs(low - point) <= slack else low
    high = point if abs(high - point) <= slack else high
    return Interval(point, low, high, level)
