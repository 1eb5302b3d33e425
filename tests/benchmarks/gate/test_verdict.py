"""The verdict: how often it is wrong at its limits, how often right away from them, what it says.

Clips are drawn from populations whose truth is known.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest

from benchmarks.gate.verdict import FAIL, PASS, UNCLEAR, Rule, evidence, judge, verdict
from benchmarks.stats.resample import Interval, Resampled, resample

RULE = Rule()


def flipped(rng: np.random.Generator, right: np.ndarray, gained: float, lost: float) -> np.ndarray:
    """Answers of which the shares `gained` and `lost` of all clips turned right and wrong."""
    share = right.mean()
    turn = np.where(right, lost / share, gained / (1 - share))
    return right ^ (rng.random(right.shape) < turn)


def world(
    rng: np.random.Generator,
    clips: int,
    *,
    gain: float = 0.06,
    student: tuple[float, float] = (0.006, 0.006),
    baseline: tuple[float, float] = (0.006, 0.006),
) -> np.ndarray:
    """bool [4, 1, clips]: reference baseline and student, deployed baseline and student."""
    hard = rng.random(clips)
    only_baseline = (hard >= 0.7) & (hard < 0.73)
    only_student = (hard >= 0.73) & (hard < 0.76 + gain)
    both = hard < 0.7
    base, dml = both | only_baseline, both | only_student
    return np.stack([base, dml, flipped(rng, base, *baseline), flipped(rng, dml, *student)])[
        :, None
    ]


def judged(table: np.ndarray, seed: int, resamples: int = 1000, **facts: bool) -> dict[str, Any]:
    drawn = resample(table, resamples=resamples, seed=seed)
    known = {"gain_is_real": True, "same": False, "one_class": False} | facts
    return verdict(drawn, RULE, **known)


# Gains of 6 points, of which a student that loses 0.5 and a baseline that wins 0.7 leave 4.8: both
# limits at once. Few answers change, or many.
LIMITS = {
    "few changes": ((0.001, 0.006), (0.008, 0.001)),
    "many changes": ((0.030, 0.035), (0.037, 0.030)),
}


@pytest.mark.parametrize("clips", [300, 2000])
@pytest.mark.parametrize("changes", LIMITS)
def test_at_both_limits_hardly_any_deployment_passes_or_fails(clips: int, changes: str) -> None:
    student, baseline = LIMITS[changes]
    rng = np.random.default_rng(clips)
    seen = Counter(
        judged(world(rng, clips, student=student, baseline=baseline), trial, 500)["verdict"]
        for trial in range(200)
    )
    assert seen[PASS] / 200 <= 0.06  # at 90 % confidence this is 7 to 8 %
    assert seen[FAIL] / 200 <= 0.05


def test_with_few_trainings_the_luck_of_training_is_reckoned_with() -> None:
    """Three pairs whose students lose 0.5 points on average, each another amount."""
    rng = np.random.default_rng(5)
    passed = crossed_alone = 0
    for trial in range(120):
        loss = 0.005 + rng.normal(0, 0.004, 3)
        table = np.concatenate(
            [
                world(rng, 2000, gain=0.025, student=(0.006, max(0.0, 0.006 + one)),
                      baseline=(0, 0))
                for one in loss
            ],
            axis=1,
        )  # fmt: skip
        passed += judged(table, trial, 300)["verdict"] == PASS
        drawn = resample(table, resamples=300, seed=trial)
        crossed_alone += drawn.contrast([0, -1, 0, 1]).low > -RULE.margin
    assert passed / 120 <= 0.05
    assert crossed_alone > passed


def test_a_faithful_deployment_passes_and_a_noisy_one_fails() -> None:
    rng = np.random.default_rng(1)
    good = Counter(judged(world(rng, 2000), trial)["verdict"] for trial in range(40))
    assert good[PASS] >= 30 and not good[FAIL]
    noisy = (0.0, 0.03)
    bad = Counter(judged(world(rng, 2000, student=noisy), trial)["verdict"] for trial in range(40))
    assert bad[FAIL] >= 36 and not bad[PASS]


def test_what_changed_nothing_passes_only_when_there_were_enough_clips() -> None:
    rng = np.random.default_rng(0)
    few = judged(world(rng, 85, gain=0.0, student=(0, 0), baseline=(0, 0)), 0, gain_is_real=False)
    assert few["verdict"] == UNCLEAR and 500 < few["clips_needed"] < 3000
    many = judged(
        world(rng, 1000, gain=0.0, student=(0, 0), baseline=(0, 0)), 0, gain_is_real=False
    )
    assert many["verdict"] == PASS
    # The same float network, to rounding: nothing is left to chance.
    few = judged(world(rng, 85, student=(0, 0), baseline=(0, 0)), 0, same=True)
    assert few["verdict"] == PASS and few["clips_needed"] is None


def test_a_gain_that_may_be_none_gives_no_share_to_keep() -> None:
    """A reference that loses keeps "most" of its loss: that must not pass."""
    rng = np.random.default_rng(2)
    table = world(rng, 3000, gain=-0.03, student=(0.0, 0.02), baseline=(0.0, 0.035))
    drawn = resample(table, resamples=1000)
    assert drawn.contrast([0.8, -0.8, -1, 1]).low > 0
    found = judged(table, 0, gain_is_real=False)
    # That there is no gain is shown too, so the student's loss decides.
    assert found["kept"]["low"] > 0 and found["gain_in_reference"]["high"] < 0
    assert found["verdict"] == FAIL


def test_the_number_of_clips_said_to_be_needed_is_enough() -> None:
    rng = np.random.default_rng(8)
    table = world(rng, 700, student=(0.02, 0.025), baseline=(0.02, 0.02))
    found = judged(table, 0)
    assert found["verdict"] == UNCLEAR and found["clips_needed"] > 700
    told = Counter(
        judged(table[:, :, rng.integers(0, 700, found["clips_needed"])], trial, 500)["verdict"]
        for trial in range(60)
    )
    assert told[PASS] / 60 >= 0.68 and not told[FAIL]


def test_clips_for_a_failure_are_those_of_the_harder_of_two_proofs() -> None:
    rng = np.random.default_rng(3)
    table = world(rng, 400, gain=0.03, student=(0.01, 0.04), baseline=(0.01, 0.01))
    found = judged(table, 1)
    assert found["verdict"] == UNCLEAR
    drawn = resample(table, resamples=1000, seed=1)
    change = evidence(drawn, [0, -1, 0, 1], -RULE.margin)
    kept = evidence(drawn, [RULE.keep, -RULE.keep, -1, 1], 0.0)
    assert kept.clips_needed is not None and change.clips_needed is not None
    assert found["clips_needed"] == max(kept.clips_needed, change.clips_needed)
    assert found["clips_needed"] > 1.5 * min(kept.clips_needed, change.clips_needed)
    told = Counter(
        judged(table[:, :, rng.integers(0, 400, found["clips_needed"])], trial, 500)["verdict"]
        for trial in range(40)
    )
    assert told[FAIL] / 40 >= 0.6 and not told[PASS]


def test_a_lack_of_trainings_is_not_called_a_lack_of_clips() -> None:
    rng = np.random.default_rng(6)
    table = np.concatenate(
        [
            world(rng, 20_000, gain=0.0, student=(0.001, 0.001 + loss), baseline=(0, 0))
            for loss in (0.0, 0.002, 0.007)
        ],
        axis=1,
    )
    found = judged(table, 0, gain_is_real=False)
    assert found["verdict"] == UNCLEAR
    assert found["clips_needed"] is None and found["pairs_needed"] > 3


def interval(low: float, high: float) -> Interval:
    return Interval((low + high) / 2, low, high)


GAINS = interval(0.02, 0.06)
MAY_GAIN = interval(-0.01, 0.03)
LOSES = interval(-0.05, -0.01)


@pytest.mark.parametrize(
    ("kept", "change", "gain", "is_real", "expected"),
    [
        # Most of the gain is left, which takes a gain.
        (interval(0.01, 0.02), interval(-0.03, 0.01), GAINS, True, PASS),
        (interval(0.01, 0.02), interval(-0.03, 0.01), MAY_GAIN, False, UNCLEAR),
        # The student lost next to nothing.
        (interval(-0.01, 0.02), interval(-0.004, 0.01), GAINS, True, PASS),
        (interval(-0.01, 0.02), interval(-0.004, 0.01), MAY_GAIN, False, PASS),
        # It lost much, and the gain with it, whatever the gain is.
        (interval(-0.02, -0.01), interval(-0.03, -0.006), GAINS, True, FAIL),
        (interval(-0.02, -0.01), interval(-0.03, -0.006), MAY_GAIN, False, FAIL),
        # It lost much, and the baseline as much: a gain may be left, unless there is none.
        (interval(-0.02, 0.001), interval(-0.03, -0.006), MAY_GAIN, False, UNCLEAR),
        (interval(0.001, 0.01), interval(-0.03, -0.006), LOSES, False, FAIL),
        (interval(-0.02, 0.001), interval(-0.03, -0.006), GAINS, True, UNCLEAR),
        (interval(-0.02, -0.01), interval(-0.03, -0.004), GAINS, True, UNCLEAR),
        (interval(-0.01, 0.01), interval(-0.03, 0.01), GAINS, True, UNCLEAR),
        # At the limit is not beyond it.
        (interval(0.0, 0.01), interval(-0.005, 0.01), GAINS, True, UNCLEAR),
    ],
)
def test_the_verdict_follows_from_the_intervals(
    kept: Interval, change: Interval, gain: Interval, is_real: bool, expected: str
) -> None:
    def word(**facts: bool) -> str:
        known = {"same": False, "one_class": False, "reference_collapsed": False} | facts
        return judge(kept, change, gain, 0.005, gain_is_real=is_real, **known)

    assert word() == expected
    assert word(one_class=True) == FAIL
    assert word(same=True) == PASS
    # Beside a reference that does not classify nothing passes.
    assert word(same=True, reference_collapsed=True) == UNCLEAR
    assert word(reference_collapsed=True) == (FAIL if expected == FAIL else UNCLEAR)


def test_the_widest_interval_is_reported() -> None:
    table = np.zeros((4, 1, 100))
    drawn: Resampled = resample(table, resamples=200)
    found = evidence(drawn, [0, -1, 0, 1], -0.005)
    assert drawn.contrast([0, -1, 0, 1]).low == 0  # the bootstrap knows only what it saw
    assert found.interval.low < -0.03 and not found.shown and not found.refuted
