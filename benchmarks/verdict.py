"""Is the gain still there: one verdict a deployment, by non-inferiority.

A deployment passes when the data show, at 95 % confidence, one of two things:

    kept     (student - baseline) here - keep * (student - baseline) in the reference > 0
    change   student here - student in the reference > -margin

The first is "at least `keep` of the gain is left" without a quotient, so a small gain below the
line cannot blow it up; it counts only where the reference has a gain that can be told from zero.
It fails when the data show that neither holds, and else there are not enough clips to tell.

Both bounds are ends of two-sided 95 % intervals, one-sided tests at 2.5 % each. Since one of two
is enough to pass, the chance that a deployment at both limits passes is at most the sum, 5 %
(Bonferroni). To fail it must miss both, at most 2.5 %. And what decides is what the report shows.

The interval is the widest of several, because each is too narrow somewhere: the bootstrap where
few answers changed, the score interval (`benchmarks.score`) where trained pairs differ, Student's
t over pairs where there is no more than the luck of the clips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np

from benchmarks.resample import LEVEL, Interval, Resampled
from benchmarks.score import POWER, clips_needed, score_interval
from benchmarks.student_t import t_interval, t_quantile

PASS, FAIL, UNCLEAR, REFERENCE = "pass", "fail", "unclear", "reference"
MOST_PAIRS = 1000


@dataclass(frozen=True)
class Rule:
    """What a deployment must keep.

    keep: share of the reference's gain. margin: largest loss of the student, as a share of clips.
    """

    keep: float = 0.8
    margin: float = 0.005
    level: float = LEVEL


@dataclass(frozen=True)
class Evidence:
    """Where a contrast lies, and how much more it would take to tell it from its limit.

    clips_needed, pairs_needed: None where the data tell already, or where no number would.
    """

    interval: Interval
    limit: float
    clips_needed: int | None = None
    pairs_needed: int | None = None

    @property
    def shown(self) -> bool:
        return self.interval.low > self.limit

    @property
    def refuted(self) -> bool:
        return self.interval.high < self.limit


def judge(
    kept: Interval | None, change: Interval, margin: float, *, same: bool, one_class: bool
) -> str:
    """The verdict, from nothing but what the report shows.

    kept: None where the reference has no gain of which a share could be left.
    same: a float network that gives the reference's answers and, to rounding, its logits: then
        nothing is left to chance. one_class: it answers one class for every clip.
    """
    if one_class:
        return FAIL
    if same or change.low > -margin or (kept is not None and kept.low > 0):
        return PASS
    if change.high < -margin and (kept is None or kept.high < 0):
        return FAIL
    return UNCLEAR


def verdict(
    drawn: Resampled, rule: Rule, *, gain_is_real: bool, same: bool, one_class: bool
) -> dict[str, Any]:
    """The verdict of a deployment with its evidence, ready for JSON.

    drawn: right or wrong of the reference's baseline and student and of the deployment's, in this
        order. gain_is_real: the reference's gain is above zero and can be told from it.
    """
    change = evidence(drawn, [0, -1, 0, 1], -rule.margin)
    kept = evidence(drawn, [rule.keep, -rule.keep, -1, 1], 0.0) if gain_is_real else None
    word = judge(
        kept.interval if kept else None,
        change.interval,
        rule.margin,
        same=same,
        one_class=one_class,
    )
    clips, pairs = _needed(kept, change) if word == UNCLEAR else (None, None)
    return {
        "verdict": word,
        "kept": kept.interval.to_dict() if kept else None,
        "change": change.interval.to_dict(),
        "same_network": same,
        "one_class": one_class,
        "clips_needed": clips,
        "pairs_needed": pairs,
    }


def evidence(drawn: Resampled, weights: Sequence[float], limit: float) -> Evidence:
    """The widest interval of a contrast, and what would be needed to tell it from `limit`."""
    scale = np.asarray(weights, np.float64)
    values = np.tensordot(scale, drawn.table, axes=1)
    by_clip, by_pair = values.mean(axis=0), values.mean(axis=1)
    end = float(np.abs(scale).sum() / 2)
    score = score_interval(by_clip, -end, end, level=drawn.level)
    intervals = [drawn.contrast(weights), score]
    if len(by_pair) > 1:
        intervals.append(t_interval(by_pair.tolist(), level=drawn.level))
    widest = Interval(
        score.point,
        max(-end, min(interval.low for interval in intervals)),
        min(end, max(interval.high for interval in intervals)),
        drawn.level,
    )
    found = Evidence(widest, limit)
    if found.shown or found.refuted:
        return found
    if len(by_pair) == 1 or score.low <= limit <= score.high:
        clips = clips_needed(by_clip, limit, -end, end, level=drawn.level)
        if clips is not None:
            clips = max(clips, _by_width(intervals[0], limit, len(by_clip)))
        return Evidence(widest, limit, clips_needed=clips)
    return Evidence(widest, limit, pairs_needed=_pairs_needed(by_pair, limit, drawn.level))


def _by_width(interval: Interval, limit: float, count: int) -> int:
    """How many clips shrink a bootstrap's interval enough: as one over their root."""
    normal = NormalDist()
    surer = 1 + normal.inv_cdf(POWER) / normal.inv_cdf((1 + interval.level) / 2)
    bound = interval.low if interval.point > limit else interval.high
    return math.ceil(count * (surer * (interval.point - bound) / (interval.point - limit)) ** 2)


def _pairs_needed(by_pair: np.ndarray, limit: float, level: float) -> int | None:
    """How many trained pairs would tell, if further ones differ as these do."""
    gap, spread = abs(float(by_pair.mean()) - limit), float(by_pair.std(ddof=1))
    surer = NormalDist().inv_cdf(POWER)
    for pairs in range(len(by_pair) + 1, MOST_PAIRS + 1):
        if (t_quantile((1 + level) / 2, pairs - 1) + surer) * spread / math.sqrt(pairs) < gap:
            return pairs
    return None


def _needed(kept: Evidence | None, change: Evidence) -> tuple[int | None, int | None]:
    """Clips, or pairs, until the verdict that the data lean to: for a pass one of the two
    contrasts is enough, for a failure both are needed."""
    both = [one for one in (kept, change) if one is not None]
    leaning = [one for one in both if one.interval.point > one.limit]
    if leaning:
        easiest = min(leaning, key=_effort)
        return easiest.clips_needed, easiest.pairs_needed
    hardest = max((one for one in both if not one.refuted), key=_effort)
    return hardest.clips_needed, hardest.pairs_needed


def _effort(one: Evidence) -> float:
    # More trainings are dearer than more clips, whatever their number.
    if one.pairs_needed is not None:
        return 1e12 * one.pairs_needed
    return one.clips_needed if one.clips_needed is not None else math.inf
