"""Resampling of answers: clips, or trained pairs crossed with clips.

The same seed draws the same clips, whatever is measured on them: one gain has one bootstrap
interval. Drawing 10,000 times 2,000 clips takes half a second, once: what was
drawn last is kept.

Clips that have a camera, a person or a source video in common are not independent: given their
groups, whole groups are drawn instead (the cluster bootstrap), and within each stratum, such as one
of several data sets, as many groups as it has.

Several trained pairs answer the same clips, so clips are drawn once a resample for all of them
(crossed, not nested): the "pigeonhole" bootstrap (Owen 2007). Where what few pairs gained differs
much, it is too narrow; Student's t over pairs stands beside it for that.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

RESAMPLES = 10_000
LEVEL = 0.95
BLOCK = 4_000_000  # clips drawn at a time
MOST_KEPT = 1 << 26  # clips drawn in all, of two bytes each; more are drawn anew each time

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.uint16]


@dataclass(frozen=True)
class Groups:
    """What is drawn together.

    Attributes:
        of_clip: int64 [clips], the group of each clip, numbered from 0 without gaps.
        stratum: int64 [groups], the stratum of each group; all 0 where there is one.
    """

    of_clip: npt.NDArray[np.int64]
    stratum: npt.NDArray[np.int64]

    @classmethod
    def of(cls, names: Sequence[str], strata: Sequence[str] | None = None) -> Groups:
        """Groups from their names by clip; one name in two strata is two groups."""
        across = [""] * len(names) if strata is None else list(strata)
        both = [json.dumps(one) for one in zip(across, map(str, names), strict=True)]
        _, first, of_clip = np.unique(both, return_index=True, return_inverse=True)
        _, stratum = np.unique(across, return_inverse=True)
        return cls(of_clip.astype(np.int64), stratum[first].astype(np.int64))

    def among(self, chosen: npt.NDArray[np.bool_]) -> Groups:
        """The groups of some clips alone, bool [clips]."""
        left, of_clip = np.unique(self.of_clip[chosen], return_inverse=True)
        _, stratum = np.unique(self.stratum[left], return_inverse=True)
        return Groups(of_clip.astype(np.int64), stratum.astype(np.int64))


def groups_of(data: Mapping[str, Any]) -> Groups | None:
    """The groups of clips of a result file's `data`; None where clips are drawn alone."""
    names = data.get("groups")
    return None if names is None else Groups.of(names)


class Settings(TypedDict):
    """What a result file says of the resampling."""

    resamples: int
    seed: int
    level: float


class Bootstrap(Settings, total=False):
    """The settings that every resampling function takes."""

    groups: Groups | None


def settings_of(given: Mapping[str, Any]) -> Settings:
    """The settings as a result file holds them, of a resampling or of the file's conditions."""
    return {"resamples": given["resamples"], "seed": given["seed"], "level": given["level"]}


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
        """Whether zero is outside."""
        return self.low > 0 or self.high < 0

    def holds(self, value: float) -> bool:
        """The value lies between the bounds."""
        return self.low <= value <= self.high

    def widened(
        self, *others: Interval, least: float = -math.inf, most: float = math.inf
    ) -> Interval:
        """The same estimate, from the lowest to the highest end of all and of the estimate itself.

        Args:
            others: intervals of the same quantity.
            least: no end is below it.
            most: no end is above it.
        """
        low = min(self.point, self.low, *(one.low for one in others))
        high = max(self.point, self.high, *(one.high for one in others))
        return Interval(self.point, max(least, low), min(most, high), self.level)

    def to_dict(self) -> dict[str, float | None]:
        """JSON has no infinity: an unbounded side is written as null."""
        return {key: value if math.isfinite(value) else None for key, value in asdict(self).items()}


@dataclass(frozen=True)
class Resampled:
    """k quantities measured on the same clips, and their means in every resample.

    Attributes:
        table: [k, pairs, clips], a value for each quantity, trained pair and clip.
        draws: [resamples, k], means.
        level: of intervals.
        groups: of clips that were drawn together; None: each clip alone.
    """

    table: Floats
    draws: Floats
    level: float
    groups: Groups | None = None

    def contrast(self, weights: Sequence[float]) -> Interval:
        """A weighted sum of the k means, percentile interval."""
        if len(weights) != len(self.table):
            raise ValueError(f"{len(self.table)} quantities need as many weights: {len(weights)}")
        scale = np.asarray(weights, dtype=np.float64)
        point = float(self.table.mean(axis=(1, 2)) @ scale)
        return percentile(point, self.draws @ scale, self.level)

    def ratio(self, above: Sequence[float], below: Sequence[float]) -> Interval | None:
        """One contrast divided by another; None when the one below is not positive.

        A resample in which it is not positive has no ratio; it counts as unbounded on the side
        of the contrast above, so that a shaky denominator widens the interval instead of
        disappearing from it. Weights are whole numbers: half a clip separates zero from rounding.
        """
        upper, lower = np.asarray(above, np.float64), np.asarray(below, np.float64)
        means = self.table.mean(axis=(1, 2))
        half_a_clip = 0.5 / self.table[0].size
        if means @ lower < half_a_clip:
            return None
        top, bottom = self.draws @ upper, self.draws @ lower
        positive = bottom > half_a_clip
        unbounded = np.where(top > 0, np.inf, -np.inf)
        draws = np.where(positive, top / np.where(positive, bottom, 1.0), unbounded)
        return percentile(float((means @ upper) / (means @ lower)), draws, self.level)


def resample(
    table: npt.ArrayLike,
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    level: float = LEVEL,
    groups: Groups | None = None,
) -> Resampled:
    """Draw pairs and clips with replacement, independently of each other.

    Args:
        table: [k, pairs, clips]. One pair is not resampled: then it is about clips alone.
        resamples: how many.
        seed: of the draws.
        level: of intervals.
        groups: draw these instead of clips.
    """
    values = np.asarray(table, dtype=np.float64)
    if values.ndim != 3 or not values.size:
        raise ValueError(f"values must be [k, pairs, clips] and not empty, got {values.shape}")
    k, pairs, clips = values.shape
    by_clip = values.reshape(k * pairs, clips).T
    of_pairs, _ = _streams(seed)
    chosen = of_pairs.multinomial(pairs, np.full(pairs, 1 / pairs), size=resamples) / pairs
    if groups is not None:
        means = _grouped(by_clip, groups, seed, resamples).reshape(-1, k, pairs)
        return Resampled(values, np.einsum("rkp,rp->rk", means, chosen), level, groups)
    draws = np.empty((resamples, k))
    end = 0
    draw = _kept if resamples * clips <= MOST_KEPT else _drawn
    for counts in draw(seed, clips, resamples):
        start, end = end, end + len(counts)
        by_pair = (counts.astype(np.float64) @ by_clip / clips).reshape(-1, k, pairs)
        draws[start:end] = np.einsum("rkp,rp->rk", by_pair, chosen[start:end])
    return Resampled(values, draws, level)


def _streams(seed: int) -> list[np.random.Generator]:
    """Of pairs, and of clips: what clips are drawn does not hang on how many pairs there are."""
    return np.random.default_rng(seed).spawn(2)


@functools.lru_cache(maxsize=1)
def _kept(seed: int, clips: int, resamples: int) -> tuple[Counts, ...]:
    """What is drawn, for one contrast after another on the same clips."""
    return tuple(_drawn(seed, clips, resamples))


def _drawn(seed: int, clips: int, resamples: int) -> Iterator[Counts]:
    """How often each clip is drawn, [some of the resamples, clips] at a time."""
    _, rng = _streams(seed)
    block = max(1, BLOCK // clips)
    for start in range(0, resamples, block):
        rows = np.arange(min(block, resamples - start))[:, None]
        drawn = rng.integers(clips, size=(len(rows), clips)) + rows * clips
        counts = np.bincount(drawn.ravel(), minlength=drawn.size).reshape(drawn.shape)
        yield counts.astype(np.uint16)


def _grouped(by_clip: Floats, groups: Groups, seed: int, resamples: int) -> Floats:
    """[resamples, columns] means of by_clip [clips, columns] over drawn groups.

    A stratum keeps its weight, that is its share of the clips, however large the groups are that
    were drawn from it.
    """
    if groups.of_clip.shape != by_clip.shape[:1]:
        raise ValueError(f"{len(by_clip)} clips, but groups of {groups.of_clip.shape} clips")
    sizes = np.bincount(groups.of_clip, minlength=len(groups.stratum)).astype(np.float64)
    sums = np.zeros((len(sizes), by_clip.shape[1]))
    np.add.at(sums, groups.of_clip, by_clip)
    means = np.zeros((resamples, by_clip.shape[1]))
    _, rng = _streams(seed)
    for stratum in np.unique(groups.stratum):
        of_it = groups.stratum == stratum
        number = int(of_it.sum())
        drawn = rng.multinomial(number, np.full(number, 1 / number), size=resamples)
        weight = sizes[of_it].sum() / len(by_clip)
        means += weight * (drawn @ sums[of_it]) / (drawn @ sizes[of_it])[:, None]
    return means


def percentile(point: float, draws: Floats, level: float) -> Interval:
    """The middle `level` of the draws, around a point estimate."""
    tail = (1 - level) / 2
    # Order statistics, not interpolation: infinite draws stay infinite and never become NaN.
    low = float(np.quantile(draws, tail, method="lower"))
    high = float(np.quantile(draws, 1 - tail, method="higher"))
    # Rounding of equal draws must not leave the point a hair outside its own interval.
    slack = 1e-12 * max(1.0, abs(point))
    low = point if abs(low - point) <= slack else low
    high = point if abs(high - point) <= slack else high
    return Interval(point, low, high, level)
