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
from benchmarks.stats.shares import conditional_share, share_interval


def directed_flips(
    first: npt.ArrayLike, second: npt.ArrayLike, bootstrap: Bootstrap
) -> dict[str, Any]:
    """What changes from `first` to `second`, each bool [pairs, clips]: right or wrong.

    Returns:
        JSON-ready: `right_to_wrong` and `wrong_to_right`, shares of all clips; `negative_flips`,
        the share of the first's right answers that the second loses, None where it has none.
        Each with its interval and its `count` over all pairs.

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
    return {
        "right_to_wrong": _record(share_interval(lost, bootstrap), lost),
        "wrong_to_right": _record(share_interval(won, bootstrap), won),
        "negative_flips": _record(conditional_share(lost, before, bootstrap), lost),
    }


def _record(found: Interval | None, flipped: npt.NDArray[np.bool_]) -> dict[str, Any] | None:
    return None if found is None else {**found.to_dict(), "count": int(flipped.sum())}
