"""What one classifier gained on another: on one trained pair, or on several of the same recipe."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.stats import paired
from benchmarks.stats.evidence import over_clips
from benchmarks.stats.resample import Bootstrap, Interval
from benchmarks.stats.student_t import t_interval

Right = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class OverPairs:
    """Mean gain of several pairs that answered the same clips.

    Attributes:
        crossed: resampled over pairs and clips; where these are in groups also no narrower than
            Student's t over groups and the score interval of the clips.
        by_pairs: Student's t over the gains of the pairs; unbounded where there is one pair only.
        gaining: pairs with a gain above zero.
        losing: pairs with a gain below zero.
    """

    crossed: Interval
    by_pairs: Interval
    gaining: int
    losing: int


def over_pairs(first: Right, second: Right, bootstrap: Bootstrap) -> OverPairs:
    """Gain of `second` on `first`, bool [pairs, clips] each."""
    gains = second.astype(int) - first.astype(int)
    by_pair = gains.mean(axis=1)
    return OverPairs(
        _with_groups(paired.crossed_bootstrap(gains, **bootstrap), gains.mean(axis=0), bootstrap),
        t_interval(by_pair.tolist(), level=bootstrap["level"]),
        int((by_pair > 0).sum()),
        int((by_pair < 0).sum()),
    )


def gain_record(first: Right, second: Right, bootstrap: Bootstrap) -> dict[str, Any]:
    """The gain as a result file holds it, bool [pairs, clips] each.

    With several pairs the counts are those of all pairs together and there is no p-value:
    McNemar's test is about one pair of models. The gain is then `distinguishable` from zero where
    resampling says so and Student's t over pairs does: of few pairs that differ, resampling alone
    would too often.
    """
    if len(first) == 1:
        one = paired.paired_difference(first[0], second[0], **bootstrap)
        by_clip = second[0].astype(float) - first[0]
        return replace(one, difference=_with_groups(one.difference, by_clip, bootstrap)).to_dict()
    found = over_pairs(first, second, bootstrap)
    return {
        **found.crossed.to_dict(),
        "clips": first.shape[1],
        "only_first": int((first & ~second).sum()),
        "only_second": int((second & ~first).sum()),
        "p": None,
        "distinguishable": found.crossed.excludes_zero and found.by_pairs.excludes_zero,
        "by_pairs": found.by_pairs.to_dict(),
        "pairs": len(first),
        "pairs_gaining": found.gaining,
        "pairs_losing": found.losing,
    }


def _with_groups(
    found: Interval, by_clip: npt.NDArray[np.float64], bootstrap: Bootstrap
) -> Interval:
    """No narrower than few groups of clips allow; where each clip is drawn alone, as it is."""
    groups, level = bootstrap.get("groups"), bootstrap["level"]
    if groups is None:
        return found
    least = over_clips(by_clip, groups, -1, 1, level=level)
    return found.widened(*least, least=-1.0, most=1.0)
