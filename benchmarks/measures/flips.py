"""Answers that change between two classifiers: right to wrong and wrong to right apart.

Two models with the same accuracy may give other answers to many clips. Who replaces the first by
the second notices the answers that were right and are wrong now: the negative flips (Yan et al.,
"Positive-congruent training", 2021).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.stats.resample import Bootstrap, Interval
from benchmarks.stats.shares import conditional_share, share_interval, with_pairs


def directed_flips(
    first: npt.ArrayLike, second: npt.ArrayLike, bootstrap: Bootstrap
) -> dict[str, Any]:
    """What changes from `first` to `second`, each bool [pairs, clips]: right or wrong.

    Returns:
        JSON-ready: `right_to_wrong` and `wrong_to_right`, shares of all clips; `negative_flips`,
        the share of the first's right answers that the second loses, None where it has none.
        Each with its interval, the widest of those over clips, pairs and clips, and pairs alone,
        and its `count` over all pairs.

    Raises:
        ValueError: tables of different shapes, or without a clip.
    """
    before, after = np.asarray(first, bool), np.asarray(second, bool)
    if before.shape != after.shape or before.ndim != 2 or not before.size:
        raise ValueError(
            f"flips need two tables [pairs, clips] of one shape, got {before.shape} and "
            f"{after.shape}"
        )
    lost, won = before & ~after, after & ~before
    of_right = conditional_share(lost, before, bootstrap)
    some = before.any(axis=1)  # a pair with nothing right has no share
    return {
        "right_to_wrong": _record(share_interval(lost, bootstrap), lost.mean(axis=1), lost),
        "wrong_to_right": _record(share_interval(won, bootstrap), won.mean(axis=1), won),
        "negative_flips": None
        if of_right is None
        else _record(of_right, lost[some].sum(axis=1) / before[some].sum(axis=1), lost),
    }


def _record(
    found: Interval, of_pair: npt.NDArray[np.float64], flipped: npt.NDArray[np.bool_]
) -> dict[str, Any]:
    return {**with_pairs(found, of_pair).to_dict(), "count": int(flipped.sum())}
