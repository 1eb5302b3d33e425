"""The score interval against the two it generalises, an optimiser, and its own promise."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.stats import paired
from benchmarks.stats.score import clips_needed, score_interval

Z = NormalDist().inv_cdf(0.975)


@given(st.integers(1, 3000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_of_right_and_wrong_it_is_wilsons(count: tuple[int, int]) -> None:
    right, clips = count
    ours = score_interval(np.arange(clips) < right, 0, 1)
    expected = paired.wilson(right, clips)
    assert (ours.low, ours.high) == pytest.approx((expected.low, expected.high), abs=1e-9)


def tango(won: int, lost: int, clips: int, difference: float) -> float:
    """Tango's score statistic (Statistics in Medicine 17, 1998, formula for matched pairs)."""
    a, b, c = (
        2 * clips,
        -won - lost + (2 * clips - won + lost) * difference,
        -lost * difference * (1 - difference),
    )
    share = (math.sqrt(max(0.0, b * b - 4 * a * c)) - b) / (2 * a)
    spread = clips * (2 * share + difference * (1 - difference))
    return (won - lost - clips * difference) / math.sqrt(spread)


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 200))
def test_of_two_classifiers_it_is_tangos(won: int, lost: int, same: int) -> None:
    clips = won + lost + same
    values = np.repeat([1, -1, 0], [won, lost, same])
    ours = score_interval(values, -1, 1)
    bounds = [(b, sign) for b, sign in ((ours.low, 1), (ours.high, -1)) if abs(b) < 1 - 1e-9]
    assert bounds  # both ends are possible differences at most where there are no clips
    for bound, sign in bounds:
        assert tango(won, lost, clips, bound) == pytest.approx(sign * Z, abs=1e-5)


def test_what_was_never_seen_may_happen() -> None:
    none = score_interval(np.zeros(50), -1, 1)
    assert none.low == pytest.approx(-(Z**2) / (50 + Z**2)) and none.high == -none.low
    assert score_interval(np.zeros(5000), -1, 1).low > -0.001
    assert score_interval(np.ones(20), -1, 1).high == 1
    assert score_interval(-np.ones(20), -1, 1).low == -1


# (student - baseline) - 0.8 (reference student - reference baseline) takes nine values.
CONTRASTS = sorted({a - 0.8 * b for a in (-1, 0, 1) for b in (-1, 0, 1)})


@example(values=[-1.8] * 7)
@given(values=st.lists(st.sampled_from(CONTRASTS), min_size=1, max_size=40))
def test_the_interval_stays_between_the_ends_and_holds_the_mean(values: list[float]) -> None:
    ours = score_interval(values, -1.8, 1.8)
    assert -1.8 <= ours.low <= ours.point <= ours.high <= 1.8
    mirrored = score_interval([-value for value in values], -1.8, 1.8)
    assert (ours.low, ours.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-9)


def test_variance_is_that_of_the_most_likely_distribution() -> None:
    from scipy import optimize

    rng = np.random.default_rng(0)
    for clips in (3, 5, 9, 20, 40, 80) * 5:
        values = rng.choice(CONTRASTS, clips)
        ours = score_interval(values, -1.8, 1.8)
        # The same by a general optimiser over the probabilities of all values and the lower end.
        support, counts = np.unique([-1.8, *values], return_counts=True)
        counts[0] -= 1
        found = optimize.minimize(
            lambda p, n=counts: -(n[n > 0] * np.log(np.maximum(p[n > 0], 1e-12))).sum(),
            np.full(len(support), 1 / len(support)),
            bounds=[(0, 1)] * len(support),
            constraints=[
                {"type": "eq", "fun": lambda p: p.sum() - 1},
                {"type": "eq", "fun": lambda p, x=support, low=ours.low: p @ x - low},
            ],
            options={"maxiter": 500, "ftol": 1e-12},
        )
        assert found.success, found.message
        variance = found.x @ (support - ours.low) ** 2
        assert (ours.point - ours.low) ** 2 * clips == pytest.approx(Z**2 * variance, rel=1e-3)


def test_it_covers_the_truth_where_the_bootstrap_does_not() -> None:
    rng = np.random.default_rng(3)
    truth = 0.004 - 0.008  # gained and lost by deployment, on 200 clips: mostly one or two
    ours = boot = 0
    for trial in range(400):
        values = rng.choice([1.0, -1.0, 0.0], size=200, p=[0.004, 0.008, 0.988])
        interval = score_interval(values, -1, 1)
        ours += interval.low <= truth <= interval.high
        drawn = paired.crossed_bootstrap(values[None], resamples=500, seed=trial)
        boot += drawn.low <= truth <= drawn.high
    assert ours / 400 >= 0.93
    assert boot / 400 < 0.93


@pytest.mark.parametrize(
    ("shares", "limit"), [((0.02, 0.025), -0.02), ((0.1, 0.05), 0.0), ((0.0, 0.0), -0.03)]
)
def test_the_number_of_clips_needed_is_enough(shares: tuple[float, float], limit: float) -> None:
    won, lost = shares
    seen = np.repeat([1.0, -1.0, 0.0], [int(1000 * won), int(1000 * lost), 1000])
    needed = clips_needed(seen, limit, -1, 1)
    assert needed is not None
    rng = np.random.default_rng(0)
    told = {needed: 0, needed // 2: 0}
    for clips in told:
        for _ in range(250):
            interval = score_interval(rng.choice(seen, clips), -1, 1)
            told[clips] += not interval.low <= limit <= interval.high
    assert 0.74 <= told[needed] / 250
    if won + lost:
        assert told[needed] / 250 <= 0.87 and told[needed // 2] < 0.65 * 250


def test_a_mean_that_is_the_limit_is_never_told_from_it() -> None:
    assert clips_needed([1, -1, 0, 0], 0.0, -1, 1) is None


@pytest.mark.parametrize("values", [[], [[0.0]], [2.0], [-1.5]])
def test_values_outside_the_ends_are_refused(values: list[object]) -> None:
    with pytest.raises(ValueError, match="values"):
        score_interval(values, -1, 1)
