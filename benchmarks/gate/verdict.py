"""Is the gain still there: one verdict a deployment, by non-inferiority.

Three contrasts decide, each with the interval that `benchmarks.stats.evidence` gives it:

    kept     (student - baseline) here - keep * (student - baseline) in the reference > 0
    change   student here - student in the reference > -margin
    gain     (student - baseline) in the reference > 0

The first is "at least `keep` of the gain is retained" without a quotient, so a small gain below the
line cannot blow it up. All three are looked at in every experiment:

    pass     kept and gain are shown, or change is, and it is not shown that the gain is lost
             (gain shown, kept refuted)
    fail     change is refuted, and kept or gain is refuted too
    unclear  else

A share of the gain can be left only where there is a gain, so kept passes nothing by itself.
Where the student keeps its accuracy but the baseline comes closer to it by the deployment, nothing
is lost that is deployed, and yet the gain did not survive: that is no pass.
Where the gain is not shown, that proves no loss either: kept must be refuted before a deployment
fails, and which conditions count does not depend on how the gain came out in these clips.

Bounds are ends of two-sided 95 % intervals, one-sided tests at 2.5 % each. One of two ways is
enough to pass, so a deployment at both limits passes by chance at most in 5 % (Bonferroni). To
fail without need one of the ways has to be open: if it is change, that is refuted in at most 2.5 %;
if it is kept, kept is refuted in at most 2.5 %, and gain, for which an interval of 99.9 % is
taken, in at most 0.05 %. `python -m benchmarks.verdict_rates` measures these rates.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from benchmarks.stats.evidence import Evidence, evidence, need_to_tell
from benchmarks.stats.need import NO_NEED, Need, easiest, hardest
from benchmarks.stats.resample import LEVEL, Interval, Resampled

PASS, FAIL, UNCLEAR, REFERENCE = "pass", "fail", "unclear", "reference"

NO_GAIN_LEVEL = 0.999
"""Level of the interval of the gain that has to lie below zero before there is none to keep.

It opens a second way to fail. At 95 % it would double the share of needless failures.
"""

# Weights of the reference's baseline and student and of the deployment's, in this order.
CHANGE = (0.0, -1.0, 0.0, 1.0)
GAIN = (-1.0, 1.0, 0.0, 0.0)


@dataclass(frozen=True)
class Rule:
    """What a deployment must keep.

    Attributes:
        keep: share of the reference's gain.
        margin: largest loss of the student, as a share of clips.
        level: confidence of the intervals.
    """

    keep: float = 0.8
    margin: float = 0.005
    level: float = LEVEL


def retained_weights(keep: float) -> tuple[float, float, float, float]:
    """Weights of the contrast that is above zero where more than `keep` of the gain is retained."""
    return (keep, -keep, -1.0, 1.0)


def decide(
    *,
    change_shown: bool,
    change_refuted: bool,
    kept_shown: bool,
    kept_refuted: bool,
    gain_shown: bool,
    gain_refuted: bool,
) -> str:
    """The verdict, from what is shown and refuted of the three contrasts."""
    gain_lost = kept_refuted and gain_shown
    if (change_shown and not gain_lost) or (kept_shown and gain_shown):
        return PASS
    if change_refuted and (kept_refuted or gain_refuted):
        return FAIL
    return UNCLEAR


def judge(
    kept: Interval,
    change: Interval,
    gain: Interval,
    margin: float,
    *,
    gain_is_real: bool,
    same: bool,
    one_class: bool,
    reference_collapsed: bool,
    class_collapsed: bool = False,
) -> str:
    """The verdict, from nothing but what the report shows.

    Args:
        kept: interval of the retained gain, less the share that has to be retained.
        change: interval of the change of the student.
        gain: interval of the reference's gain at `NO_GAIN_LEVEL`.
        margin: largest loss that is allowed.
        gain_is_real: the reference's gain is above zero, and significant.
        same: a float network that gives the reference's answers and, to rounding, its logits:
            then nothing is left to chance.
        one_class: a model of the deployment answers one class for nearly every clip.
        reference_collapsed: a model of the reference does. Nothing can pass beside it.
        class_collapsed: a model of the deployment no longer recognises a class.
    """
    if one_class or class_collapsed:
        return FAIL
    found = decide(
        change_shown=change.low > -margin,
        change_refuted=change.high < -margin,
        kept_shown=kept.low > 0,
        kept_refuted=kept.high < 0,
        gain_shown=gain_is_real,
        gain_refuted=gain.high < 0,
    )
    if same:
        found = PASS
    return UNCLEAR if reference_collapsed and found == PASS else found


def verdict(
    drawn: Resampled,
    rule: Rule,
    *,
    gain_is_real: bool,
    same: bool = False,
    one_class: bool = False,
    reference_collapsed: bool = False,
    class_collapsed: bool = False,
) -> dict[str, Any]:
    """The verdict of a deployment with its evidence, ready for JSON.

    Args:
        drawn: right or wrong of the reference's baseline and student and of the deployment's, in
            this order.
        rule: what has to be retained.
        gain_is_real: see `judge`.
        same: see `judge`.
        one_class: see `judge`.
        reference_collapsed: see `judge`.
        class_collapsed: see `judge`.
    """
    change = evidence(drawn, CHANGE, -rule.margin)
    kept = evidence(drawn, retained_weights(rule.keep), 0.0)
    gain = evidence(drawn, GAIN, 0.0, level=NO_GAIN_LEVEL)
    word = judge(
        kept.interval,
        change.interval,
        gain.interval,
        rule.margin,
        gain_is_real=gain_is_real,
        same=same,
        one_class=one_class,
        reference_collapsed=reference_collapsed,
        class_collapsed=class_collapsed,
    )
    need = None
    caught_up = gain_is_real and kept.refuted and change.shown
    if word == UNCLEAR and not reference_collapsed and not caught_up:
        proof = need_to_tell(drawn, GAIN, 0.0, level=rule.level) if not gain_is_real else None
        need = _needed(kept, change, gain, proof)
    return {
        "verdict": word,
        "kept": kept.interval.to_dict(),
        "change": change.interval.to_dict(),
        "gain_in_reference": gain.interval.to_dict(),
        "gain_is_real": gain_is_real,
        "same_network": same,
        "one_class": one_class,
        **(NO_NEED if need is None else need.to_dict()),
    }


def _needed(kept: Evidence, change: Evidence, gain: Evidence, proof: Need | None) -> Need | None:
    """What it takes to get the verdict that the data lean to.

    Args:
        kept: of the retained gain.
        change: of the student's change.
        gain: with the interval that may lie below zero.
        proof: what it takes to show that there is a gain; None where that is shown.
    """
    ways = []
    if change.need is not None and change.interval.point > change.limit:
        ways.append(change.need)
    if kept.interval.point > 0 and gain.interval.point > 0:
        ways.append(hardest([need for need in (kept.need, proof) if need is not None]))
    if ways:
        return easiest(ways)
    refuting = []
    if kept.need is not None and kept.interval.point <= 0:
        refuting.append(kept.need)
    if gain.need is not None and gain.interval.point <= 0:
        refuting.append(gain.need)
    lacking = [] if kept.refuted or gain.refuted or not refuting else [easiest(refuting)]
    lacking += [change.need] if change.need is not None else []
    return hardest(lacking) if lacking else None


def is_retained(found: Mapping[str, Any]) -> bool:
    """Whether it is shown that as much of the gain is retained as has to be."""
    shown = found["gain_is_real"] and found["kept"]["low"] > 0
    return bool(found["same_network"] or shown)


def is_caught_up(found: Mapping[str, Any], margin: float) -> bool:
    """Whether the student keeps its accuracy, and yet the gain is shown to be lost."""
    shown = found["gain_is_real"] and found["kept"]["high"] < 0
    return bool(found["verdict"] == UNCLEAR and shown and found["change"]["low"] > -margin)


def reference_row(results: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row of the cell that the others are compared with."""
    row: Mapping[str, Any] = next(
        row for row in results["cells"] if row["cell"] == results["reference"]
    )
    return row
