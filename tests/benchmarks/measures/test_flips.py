"""Directed flips: counted by hand, against SciPy's Wilson interval, and what always holds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import binomtest

from benchmarks.measures.flips import directed_flips
from benchmarks.stats.resample import Bootstrap, Groups
from train.evaluation.shares import wilson_of_share

BOOTSTRAP: Bootstrap = {"resamples": 500, "seed": 0, "level": 0.95}
NAMES = ("right_to_wrong", "wrong_to_right", "negative_flips")

tables = st.tuples(st.integers(1, 3), st.integers(1, 30)).flatmap(
    lambda shape: st.tuples(hnp.arrays(bool, shape), hnp.arrays(bool, shape))
)


def test_ten_clips_counted_by_hand() -> None:
    first = np.array([[1, 1, 1, 1, 1, 1, 0, 0, 0, 0]], bool)
    second = np.array([[1, 1, 1, 1, 0, 0, 1, 0, 0, 0]], bool)
    found = directed_flips(first, second, BOOTSTRAP)
    assert [found[name]["count"] for name in NAMES] == [2, 1, 2]
    assert [found[name]["point"] for name in NAMES] == pytest.approx([0.2, 0.1, 2 / 6])
    for name, (count, trials) in zip(NAMES, ((2, 10), (1, 10), (2, 6)), strict=True):
        theirs = binomtest(count, trials).proportion_ci(0.95, method="wilson")
        assert found[name]["low"] == pytest.approx(theirs.low)
        assert found[name]["high"] == pytest.approx(theirs.high)


def test_equal_accuracy_hides_flips_and_flips_tell_them() -> None:
    first = np.arange(1000)[None] < 800
    found = directed_flips(first, first[:, ::-1], BOOTSTRAP)
    assert found["right_to_wrong"]["point"] == found["wrong_to_right"]["point"] == 0.2
    assert found["negative_flips"]["point"] == 0.25


def test_nothing_right_has_nothing_to_lose() -> None:
    found = directed_flips(np.zeros((1, 5), bool), np.ones((1, 5), bool), BOOTSTRAP)
    assert found["negative_flips"] is None and found["wrong_to_right"]["point"] == 1


@pytest.mark.parametrize("shapes", [((1, 3), (1, 4)), ((3,), (3,)), ((1, 0), (1, 0))])
def test_tables_that_are_not_of_the_same_clips_are_refused(
    shapes: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    with pytest.raises(ValueError, match="shape"):
        directed_flips(*(np.ones(shape, bool) for shape in shapes), BOOTSTRAP)


@given(tables)
@settings(max_examples=40, deadline=None)
def test_flips_make_up_the_change_of_accuracy(pair: tuple[np.ndarray, np.ndarray]) -> None:
    first, second = pair
    there, back = directed_flips(first, second, BOOTSTRAP), directed_flips(*pair[::-1], BOOTSTRAP)
    lost, won = there["right_to_wrong"]["point"], there["wrong_to_right"]["point"]
    assert won - lost == pytest.approx(second.mean() - first.mean())
    assert back["right_to_wrong"] == there["wrong_to_right"]
    if there["negative_flips"] is not None:
        assert there["negative_flips"]["point"] * first.mean() == pytest.approx(lost)
    for record in filter(None, there.values()):
        assert 0 <= record["low"] <= record["point"] <= record["high"] <= 1


def test_clips_of_one_group_count_as_less_evidence() -> None:
    rng = np.random.default_rng(0)
    of_group = rng.random(40) < 0.3
    first = np.ones((1, 400), bool)
    second = np.repeat(~of_group, 10)[None]
    groups = Groups.of([str(clip // 10) for clip in range(400)])
    alone = directed_flips(first, second, BOOTSTRAP)
    grouped = directed_flips(first, second, {**BOOTSTRAP, "groups": groups})
    for name in ("right_to_wrong", "negative_flips"):
        widths = [one[name]["high"] - one[name]["low"] for one in (alone, grouped)]
        assert alone[name]["point"] == grouped[name]["point"] and widths[1] > 2 * widths[0]


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_of_whole_trials_is_scipy_s(counts: tuple[int, int]) -> None:
    count, trials = counts
    ours = wilson_of_share(count / trials, trials, level=0.9)
    theirs = binomtest(count, trials).proportion_ci(0.9, method="wilson")
    assert ours == pytest.approx((theirs.low, theirs.high), abs=1e-12)
