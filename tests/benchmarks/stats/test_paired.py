"""The statistics against known values, against brute force, and against what they must never do."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from benchmarks.stats import paired, student_t
from benchmarks.stats.resample import resample

answers = st.integers(1, 60).flatmap(lambda n: st.tuples(hnp.arrays(bool, n), hnp.arrays(bool, n)))


@given(hnp.arrays(bool, st.integers(1, 80)))
@settings(deadline=None)
def test_identical_models_have_exactly_no_gain(right: np.ndarray) -> None:
    result = paired.paired_difference(right, right.copy(), resamples=200)
    assert (result.difference.point, result.difference.low, result.difference.high) == (0, 0, 0)
    assert result.p == 1.0
    assert not result.distinguishable


@given(answers)
@settings(max_examples=60, deadline=None)
def test_swapping_the_models_flips_the_sign_only(pair: tuple[np.ndarray, np.ndarray]) -> None:
    one = paired.paired_difference(*pair, resamples=2000)
    other = paired.paired_difference(*pair[::-1], resamples=2000)
    assert one.difference.point == -other.difference.point
    assert one.p == other.p
    assert (one.only_a, one.only_b) == (other.only_b, other.only_a)
    # The draws differ (patterns sort the other way round): equal up to resampling noise.
    noise = 0.25 / math.sqrt(one.clips) + 1 / one.clips
    assert one.difference.low == pytest.approx(-other.difference.high, abs=noise)


@given(answers)
@settings(max_examples=100, deadline=None)
def test_interval_contains_the_point_estimate(pair: tuple[np.ndarray, np.ndarray]) -> None:
    interval = paired.paired_bootstrap(*pair, resamples=500)
    assert interval.low <= interval.point <= interval.high
    assert -1 <= interval.low and interval.high <= 1


def test_intervals_are_those_of_drawn_clips() -> None:
    rng = np.random.default_rng(5)
    a, b = rng.random(300) < 0.6, rng.random(300) < 0.7
    drawn = rng.integers(0, 300, (20_000, 300))
    brute = np.quantile((b[drawn].mean(1) - a[drawn].mean(1)), [0.025, 0.975])
    ours = paired.paired_bootstrap(a, b, resamples=20_000, seed=1)
    assert [ours.low, ours.high] == pytest.approx(brute, abs=0.005)


def test_same_seed_same_interval() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(100) < 0.5, rng.random(100) < 0.5
    assert paired.paired_bootstrap(a, b, seed=3) == paired.paired_bootstrap(a, b, seed=3)


def test_draws_that_are_kept_are_those_that_are_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [np.random.default_rng(n).random((2, 3, clips)) for n, clips in enumerate((50, 50, 9))]

    def draws() -> list[np.ndarray]:
        return [resample(tables[n], resamples=40, seed=seed).draws
                for n, seed in ((0, 1), (1, 1), (2, 1), (0, 2), (0, 1))]  # fmt: skip

    kept = draws()
    monkeypatch.setattr("benchmarks.stats.resample.MOST_KEPT", 0)
    assert all(np.array_equal(one, other) for one, other in zip(kept, draws(), strict=True))
    assert np.array_equal(kept[0], kept[-1]) and not np.array_equal(kept[0], kept[3])


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(11)
    covered = 0
    for trial in range(400):
        right = rng.random(400)
        a, b = right < 0.70, (right < 0.66) | (rng.random(400) < 0.2)
        truth = 0.66 + 0.34 * 0.2 - 0.70
        interval = paired.paired_bootstrap(a, b, resamples=1000, seed=trial)
        covered += interval.low <= truth <= interval.high
    assert 0.92 <= covered / 400 <= 0.98


def test_no_gain_is_rarely_called_a_gain() -> None:
    rng = np.random.default_rng(2)
    calls = 0
    for trial in range(300):
        a, b = rng.random(300) < 0.8, rng.random(300) < 0.8
        calls += paired.paired_difference(a, b, resamples=1000, seed=trial).distinguishable
    assert calls / 300 <= 0.07


@given(st.integers(0, 400), st.integers(0, 400))
@settings(deadline=None)
def test_mcnemar_is_the_exact_share_of_coin_flips(only_a: int, only_b: int) -> None:
    total = only_a + only_b
    tail = sum(math.comb(total, k) for k in range(min(only_a, only_b) + 1))
    expected = min(1.0, 2 * tail / 2**total)
    assert paired.mcnemar_exact(only_a, only_b) == pytest.approx(expected, rel=1e-9)


def test_mcnemar_known_value() -> None:
    assert paired.mcnemar_exact(0, 5) == 2 / 32
    assert paired.mcnemar_exact(0, 0) == 1.0
    with pytest.raises(ValueError, match="negative"):
        paired.mcnemar_exact(-1, 2)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
@settings(deadline=None)
def test_wilson_bounds_are_where_the_score_test_turns(count: tuple[int, int]) -> None:
    ours = paired.wilson(*count)
    assert 0 <= ours.low <= ours.point <= ours.high <= 1
    for bound in (ours.low, ours.high):
        if 0 < bound < 1:
            off = (ours.point - bound) ** 2 * count[1]
            assert off == pytest.approx(1.959963984540054**2 * bound * (1 - bound), rel=1e-6)


@pytest.mark.parametrize("count", [(1, 0), (-1, 5), (6, 5)])
def test_wilson_refuses_what_is_no_share(count: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="share"):
        paired.wilson(*count)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (29, 2.045)]
)
def test_t_quantile_is_that_of_the_printed_tables(freedom: int, quantile: float) -> None:
    assert student_t.t_quantile(0.975, freedom) == pytest.approx(quantile, abs=5e-4)
    assert student_t.t_quantile(0.025, freedom) == pytest.approx(-quantile, abs=5e-4)


def test_t_interval_of_one_seed_bounds_nothing() -> None:
    interval = student_t.t_interval([0.02])
    assert interval.point == 0.02 and math.isinf(interval.low) and math.isinf(interval.high)
    assert interval.to_dict()["low"] is None


def test_crossed_bootstrap_is_wider_than_one_that_ignores_seeds() -> None:
    rng = np.random.default_rng(4)
    per_seed = rng.normal(0.03, 0.05, 5)
    table = (rng.random((5, 500)) < 0.1 + per_seed[:, None]).astype(int) - (
        rng.random((5, 500)) < 0.1
    )
    crossed = paired.crossed_bootstrap(table)
    clips_only = np.quantile(
        [table[:, rng.integers(0, 500, 500)].mean() for _ in range(1000)], [0.025, 0.975]
    )
    assert crossed.point == pytest.approx(table.mean())
    assert crossed.low < crossed.point < crossed.high
    assert crossed.high - crossed.low > 1.3 * (clips_only[1] - clips_only[0])


def test_crossed_bootstrap_with_one_seed_is_the_paired_bootstrap() -> None:
    rng = np.random.default_rng(8)
    a, b = rng.random(400) < 0.6, rng.random(400) < 0.65
    crossed = paired.crossed_bootstrap((b.astype(int) - a.astype(int))[None])
    by_clip = paired.paired_bootstrap(a, b)
    assert (crossed.low, crossed.high) == pytest.approx((by_clip.low, by_clip.high), abs=0.006)


def test_crossed_bootstrap_of_zeros_is_zero() -> None:
    result = paired.crossed_bootstrap(np.zeros((3, 10)))
    assert (result.point, result.low, result.high) == (0, 0, 0)


def share_of_gain(*four: np.ndarray) -> paired.Interval | None:
    """Of baseline and student in the reference, then in the deployment, as the gate takes it."""
    return paired.resampled(four).ratio([0, 0, -1, 1], [-1, 1, 0, 0])


def test_share_is_one_when_nothing_changed() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.random(800) < 0.5, rng.random(800) < 0.7
    share = share_of_gain(a, b, a, b)
    assert share is not None and (share.point, share.low, share.high) == (1, 1, 1)


def test_share_halves_when_half_of_the_gain_is_lost() -> None:
    a = np.zeros(1000, bool)
    b = np.arange(1000) < 200
    half = np.arange(1000) < 100
    share = share_of_gain(a, b, a, half)
    assert share is not None
    assert share.point == pytest.approx(0.5)
    assert 0.4 < share.low < 0.5 < share.high < 0.6


def test_share_of_a_shaky_gain_is_unbounded_and_of_no_gain_absent() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.random(100) < 0.5, rng.random(100) < 0.5
    if b.mean() <= a.mean():
        a, b = b, a
    share = share_of_gain(a, b, a, ~b)
    assert share is not None and math.isinf(share.low)
    assert share_of_gain(b, a, b, a) is None


def test_a_contrast_tells_whether_most_of_the_gain_is_left() -> None:
    clips = np.arange(2000)
    base, full, kept = clips < 1000, clips < 1200, clips < 1190
    weights = [0.8, -0.8, -1.0, 1.0]
    assert paired.paired_contrast([base, full, base, kept], weights).low > 0
    lost = clips < 1100
    assert paired.paired_contrast([base, full, base, lost], weights).high < 0


def test_answers_must_be_paired_and_binary() -> None:
    with pytest.raises(ValueError, match="one length"):
        paired.paired_bootstrap([True], [True, False])
    with pytest.raises(ValueError, match="right or wrong"):
        paired.paired_bootstrap([0.2, 1.0], [1.0, float("nan")])


def test_one_gain_has_one_interval_whatever_else_is_measured_with_it() -> None:
    rng = np.random.default_rng(5)
    one, other, third = rng.random((3, 4, 300)) < [[[0.5]], [[0.6]], [[0.7]]]
    settings: Any = {"resamples": 500, "seed": 2}
    alone = paired.crossed_bootstrap(other.astype(int) - one.astype(int), **settings)
    among = paired.resampled([third, one, third, other], **settings).contrast([0, -1, 0, 1])
    assert (alone.low, alone.high) == pytest.approx((among.low, among.high), abs=1e-12)
