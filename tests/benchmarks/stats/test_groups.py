"""Clips in groups and in strata: whole groups are drawn, and each stratum keeps its weight."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.stats.paired import crossed_bootstrap, paired_difference
from benchmarks.stats.resample import Groups, resample


def test_groups_of_one_clip_are_clips() -> None:
    gains = np.random.default_rng(0).integers(-1, 2, (3, 200))
    alone = Groups.of([str(clip) for clip in range(200)])
    one = crossed_bootstrap(gains, resamples=4000)
    other = crossed_bootstrap(gains, resamples=4000, groups=alone)
    assert other.point == one.point
    width = one.high - one.low
    assert other.low == pytest.approx(one.low, abs=0.1 * width)
    assert other.high == pytest.approx(one.high, abs=0.1 * width)


def test_copies_of_a_clip_tell_no_more_than_the_clip() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(40) < 0.5, rng.random(40) < 0.7
    names = [str(clip) for clip in range(40)]
    once = paired_difference(a, b, resamples=4000).difference
    tens = paired_difference(
        np.repeat(a, 10), np.repeat(b, 10), resamples=4000, groups=Groups.of(np.repeat(names, 10))
    ).difference
    blind = paired_difference(np.repeat(a, 10), np.repeat(b, 10), resamples=4000).difference
    assert tens.high - tens.low == pytest.approx(once.high - once.low, rel=0.1)
    assert blind.high - blind.low < 0.5 * (once.high - once.low)


def test_the_spread_is_that_of_the_ratio_of_means() -> None:
    """Groups of other sizes: Cochran's variance of a ratio, from its formula."""
    rng = np.random.default_rng(2)
    sizes = rng.integers(1, 9, 300)
    values = np.concatenate(
        [np.full(size, rng.normal()) + rng.normal(0, 0.3, size) for size in sizes]
    )
    names = np.repeat([f"g{n}" for n in range(300)], sizes)
    drawn = resample(values[None, None], resamples=6000, groups=Groups.of(names.tolist()))
    sums = np.array([values[names == f"g{n}"].sum() for n in range(300)])
    residuals = sums - values.mean() * sizes
    expected = np.sqrt((residuals**2).sum()) / sizes.sum()
    assert drawn.draws.std() == pytest.approx(expected, rel=0.05)


def test_a_stratum_keeps_its_weight() -> None:
    """Where strata differ and clips within them do not, nothing is uncertain."""
    values = np.repeat([0.0, 1.0], [30, 90])
    strata = np.repeat(["small", "large"], [30, 90]).tolist()
    names = [f"g{clip // 3 % 7}" for clip in range(120)]  # one name in two strata is two groups
    drawn = resample(values[None, None], resamples=500, groups=Groups.of(names, strata))
    assert drawn.draws == pytest.approx(np.full((500, 1), 0.75))
    mixed = resample(values[None, None], resamples=500, groups=Groups.of(names))
    assert mixed.draws.std() > 0.01


def test_groups_among_chosen_clips() -> None:
    groups = Groups.of(["a", "b", "a", "c"], ["x", "x", "x", "y"])
    chosen = groups.among(np.array([False, True, False, True]))
    assert chosen.of_clip.tolist() == [0, 1] and len(chosen.stratum) == 2
    assert chosen.stratum[0] != chosen.stratum[1]
    with pytest.raises(ValueError, match="3 clips"):
        resample(np.zeros((1, 1, 3)), groups=groups)
