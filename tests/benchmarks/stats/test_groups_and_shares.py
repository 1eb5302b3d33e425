"""Intervals of a mean over few groups of clips, and of the share of a gain that is retained."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from benchmarks.stats import paired
from benchmarks.stats.evidence import evidence, retained_share, widest
from benchmarks.stats.gains import gain_record
from benchmarks.stats.resample import Bootstrap, Groups
from benchmarks.stats.shares import conditional_share, share_interval
from benchmarks.stats.student_t import group_t_interval

SETTINGS: Bootstrap = {"resamples": 500, "seed": 0, "level": 0.95}


def test_groups_of_one_size_are_students_t_over_their_means() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(6, 20)) + rng.normal(size=(6, 1))
    groups = Groups.of([str(group) for group in range(6) for _ in range(20)])
    found = group_t_interval(values.ravel(), groups)
    expected = stats.t.interval(0.95, 5, values.mean(), stats.sem(values.mean(axis=1)))
    assert (found.low, found.high) == pytest.approx(expected)


def test_strata_add_their_variances_and_one_group_bounds_nothing() -> None:
    rng = np.random.default_rng(1)
    first, second = rng.normal(size=(4, 10)), 5 + rng.normal(size=(6, 10))
    values = np.concatenate([first.ravel(), second.ravel()])
    names = [str(group) for group in range(10) for _ in range(10)]
    found = group_t_interval(values, Groups.of(names, ["a"] * 40 + ["b"] * 60))
    variance = sum(
        (share * stats.sem(part.mean(axis=1))) ** 2 for share, part in ((0.4, first), (0.6, second))
    )
    half = stats.t.ppf(0.975, 8) * math.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))
    alone = group_t_interval(values, Groups.of(names, ["a"] * 10 + ["b"] * 90))
    assert math.isinf(alone.low) and math.isinf(alone.high)


def test_a_gain_over_few_groups_is_no_surer_than_over_their_clips() -> None:
    """In each of two groups the same share of clips is gained: resampled, nothing would vary."""
    first, second = np.zeros((1, 40), bool), np.tile(np.arange(20) < 2, 2)[None]
    groups = Groups.of(["a"] * 20 + ["b"] * 20)
    alone = gain_record(first, second, SETTINGS)
    together = gain_record(first, second, {**SETTINGS, "groups": groups})
    assert together["point"] == alone["point"] == pytest.approx(0.1)
    assert together["low"] < alone["point"] - 0.04 and together["high"] > alone["point"] + 0.04


def test_a_share_of_a_share_is_no_surer_either() -> None:
    hits = np.r_[np.arange(100) < 20, np.arange(100) < 40][None]
    bootstrap: Bootstrap = {**SETTINGS, "groups": Groups.of(["a"] * 100 + ["b"] * 100)}
    whole = share_interval(hits, bootstrap)
    part = conditional_share(hits, np.ones_like(hits), bootstrap)
    assert part is not None and (part.low, part.high) == pytest.approx((whole.low, whole.high))
    assert whole.low == 0 and whole.high == 1


def test_where_groups_are_few_more_pairs_are_not_what_is_needed() -> None:
    """Three pairs that answer alike; of six groups of clips one loses."""
    before = np.ones((3, 120), bool)
    after = before.copy()
    after[:, :12] = False
    groups = Groups.of([str(clip // 20) for clip in range(120)])
    drawn = paired.resampled([before, after], **{**SETTINGS, "groups": groups})
    need = evidence(drawn, (-1.0, 1.0), -0.005).need
    assert need is not None and need.of == "clips"


def test_pairs_that_differ_do_not_make_a_gain_significant() -> None:
    rng = np.random.default_rng(2)
    first = rng.random((3, 2000)) < 0.5
    second = first.copy()
    for pair, share in enumerate((0.01, 0.02, 0.16)):
        second[pair] |= rng.random(2000) < share
    found = gain_record(first, second, SETTINGS)
    assert found["low"] > 0 > found["by_pairs"]["low"]
    assert not found["distinguishable"]


def four(base: int, student: int, here: int, student_here: int, clips: int = 2000) -> np.ndarray:
    return np.array([np.arange(clips) < right for right in (base, student, here, student_here)])


def test_the_share_has_the_interval_of_the_contrast_that_decides() -> None:
    drawn = paired.resampled(list(four(1200, 1400, 1210, 1396)), **SETTINGS)
    found = retained_share(drawn)
    assert found is not None and found.point == pytest.approx(186 / 200)
    assert found.low < found.point < found.high
    for share, name in ((found.low, "low"), (found.high, "high")):
        at_end = widest(drawn, (share, -share, -1.0, 1.0), 0.95)
        assert getattr(at_end, name) == pytest.approx(0, abs=1e-5)


def test_equal_answers_bound_the_share_unless_the_network_is_the_same() -> None:
    drawn = paired.resampled(list(four(1200, 1400, 1200, 1400)), **SETTINGS)
    found, same = retained_share(drawn), retained_share(drawn, same=True)
    assert found is not None and same is not None
    assert 0.9 < found.low < found.point == 1 < found.high < 1.1
    assert (same.low, same.point, same.high) == (1, 1, 1)


def test_without_a_gain_there_is_no_share_and_with_a_small_one_no_end() -> None:
    assert retained_share(paired.resampled(list(four(1200, 1200, 1200, 1200)), **SETTINGS)) is None
    small = retained_share(paired.resampled(list(four(1200, 1201, 1150, 1201)), **SETTINGS))
    assert small is not None and math.isinf(small.high)
