"""The difference of two results, against published and independent figures."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.stats import paired
from benchmarks.stats.resample import Bootstrap
from benchmarks.stats.two_results import paired_difference, unpaired_difference

SETTINGS: Bootstrap = {"resamples": 2000, "seed": 3, "level": 0.95}


def test_shares_of_other_clips_have_the_interval_of_newcombe() -> None:
    """Newcombe (1998), method 10: 56 of 70 less 48 of 80."""
    first, second = paired.wilson(48, 80).to_dict(), paired.wilson(56, 70).to_dict()
    found = unpaired_difference(first, second)
    assert found.point == pytest.approx(0.2)
    assert (round(found.low, 4), round(found.high, 4)) == (0.0524, 0.3339)


def test_pairs_that_belong_together_give_the_difference_of_the_gate() -> None:
    rng = np.random.default_rng(0)
    first = rng.random((3, 400)) < 0.7
    second = first ^ (rng.random((3, 400)) < 0.03)
    found = paired_difference(first, second, SETTINGS, matched=True)
    assert found.point == pytest.approx(second.mean() - first.mean())
    drawn = paired.resampled([first, second], **SETTINGS).contrast([-1, 1])
    assert found.low <= drawn.low and found.high >= drawn.high
    alone = paired_difference(first[:1], second[:1], SETTINGS, matched=True)
    whole = unpaired_difference(
        *(paired.wilson(int(one[0].sum()), 400).to_dict() for one in (first, second))
    )
    assert alone.high - alone.low < whole.high - whole.low, "the same clips tell more"


def test_no_change_is_no_certainty() -> None:
    same = np.ones((1, 50), bool)
    found = paired_difference(same, same, SETTINGS, matched=True)
    assert found.low < 0 == found.point < found.high


def test_pairs_that_do_not_belong_together_are_drawn_on_their_own() -> None:
    rng = np.random.default_rng(1)
    skill_a, skill_b = np.array([0.5, 0.6, 0.7]), np.array([0.65, 0.75, 0.7, 0.8])
    first, second = (rng.random((len(one), 500)) < one[:, None] for one in (skill_a, skill_b))
    found = paired_difference(first, second, SETTINGS, matched=False)
    stats = pytest.importorskip("scipy.stats")
    means = [one.mean(axis=1) for one in (second, first)]
    welch = stats.ttest_ind(*means, equal_var=False).confidence_interval(0.95)
    assert found.point == pytest.approx(means[0].mean() - means[1].mean())
    assert found.low <= welch.low and found.high >= welch.high
    assert paired_difference(first, second[:1], SETTINGS, matched=False).low < found.point


def test_gains_may_differ_by_two() -> None:
    first, second = -np.ones((1, 20)), np.ones((1, 20))
    found = paired_difference(first, second, SETTINGS, matched=True, most=2.0)
    assert found.point == 2.0 and found.low < 2.0


def test_other_clips_are_refused() -> None:
    with pytest.raises(ValueError, match="paired"):
        paired_difference(np.ones((1, 3)), np.ones((1, 4)), SETTINGS, matched=False)
    with pytest.raises(ValueError, match="paired"):
        paired_difference(np.ones((1, 3)), np.ones((2, 3)), SETTINGS, matched=True)
