"""Shares of clips with their intervals, over one trained model or several of the same recipe."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.stats import paired
from benchmarks.stats.evidence import over_clips
from benchmarks.stats.resample import Bootstrap, Interval, Resampled, resample
from benchmarks.stats.student_t import group_t_interval, t_interval
from train.evaluation.shares import wilson_of_share


def share_interval(right: npt.ArrayLike, bootstrap: Bootstrap) -> Interval:
    """The share of true values of bool [models, clips].

    One model: Wilson's interval. Several, or clips in groups: the mean, resampled over models and
    groups or clips, and never narrower than the score interval of the clips, or Student's t over
    groups.
    """
    table = np.asarray(right)
    if len(table) == 1 and bootstrap.get("groups") is None:  # nothing to resample
        return paired.wilson(int(table.sum()), table.size, level=bootstrap["level"])
    return share_of_drawn(resample(table[None], **bootstrap), 0)


def share_of_drawn(drawn: Resampled, place: int) -> Interval:
    """The same for one of several tables that were resampled together.

    Args:
        drawn: tables of zeros and ones.
        place: of the table.
    """
    table = drawn.table[place]
    if len(table) == 1 and drawn.groups is None:
        return paired.wilson(round(float(table.sum())), table.size, level=drawn.level)
    weights = np.zeros(len(drawn.table))
    weights[place] = 1.0
    # Never narrower than the luck of the clips, or of few groups: all right is no certainty.
    least = over_clips(table.mean(axis=0), drawn.groups, 0, 1, level=drawn.level)
    return drawn.contrast(weights.tolist()).widened(*least, least=0.0, most=1.0)


def conditional_share(
    part: npt.ArrayLike, whole: npt.ArrayLike, bootstrap: Bootstrap
) -> Interval | None:
    """How many of the clips of `whole` are in `part` too, both bool [models, clips].

    Of one model Wilson's interval; else resampled, and never narrower than Wilson's with as many
    trials as the models have on average, or than Student's t over groups of clips.

    Returns:
        None where `whole` is empty.
    """
    above, below = np.asarray(part), np.asarray(whole)
    if not below.any():
        return None
    share, trials = float(above.sum() / below.sum()), float(below.sum() / len(below))
    level = bootstrap["level"]
    least = Interval(share, *wilson_of_share(share, trials, level=level), level)
    if len(below) == 1 and bootstrap.get("groups") is None:
        return least
    found = paired.resampled([above, below], **bootstrap).ratio([1, 0], [0, 1])
    others = [] if found is None else [found]
    groups = bootstrap.get("groups")
    if groups is not None:
        # What moves a ratio of means, to the first order.
        moves = (above - share * below).mean(axis=0) / below.mean()
        around = group_t_interval(moves, groups, level=level)
        others.append(Interval(share, share + around.low, share + around.high, level))
    return least.widened(*others, least=0.0, most=1.0)


def with_pairs(found: Interval, of_pair: npt.ArrayLike) -> Interval:
    """The same interval, with Student's t over trained pairs in it, and within 0 and 1.

    A bootstrap of few pairs is too narrow where they differ.

    Args:
        found: over pairs and clips.
        of_pair: [pairs], the share of each; one alone adds nothing.
    """
    values = np.asarray(of_pair, np.float64)
    if len(values) < 2:
        return found
    alone = t_interval(values.tolist(), level=found.level)
    return found.widened(alone, least=0.0, most=1.0)
