"""Where a contrast of accuracies lies, and how much more it would take to tell it from a limit.

The interval is the widest of several, because each is too narrow somewhere: the bootstrap where
few answers changed or groups of clips are few, the score interval (`benchmarks.stats.score`) where
trained pairs or groups differ, Student's t over pairs, and over groups, where there is no more than
the luck of the clips.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from benchmarks.stats.need import Need
from benchmarks.stats.resample import Groups, Interval, Resampled, percentile
from benchmarks.stats.score import POWER, clips_if, clips_needed, score_interval
from benchmarks.stats.student_t import group_t_interval, t_interval, t_quantile

MOST_PAIRS = 1000
_REACHES = (0.25, 1.0, 4.0, 16.0)
"""How far from the estimate the ends of a share are looked for; further ones say nothing."""
_SHARE = 1e-6
UPPER_LEVEL = 0.8
"""Level of the interval that the upper end of a range of clips is taken from.

At the level of the verdict the interval of what is inconclusive always holds the limit, and no
number of clips would ever be named.
"""


@dataclass(frozen=True)
class Evidence:
    """Where a contrast lies, and how much more it would take to tell it from its limit.

    Attributes:
        interval: of the contrast.
        limit: what it is compared with.
        need: what is needed to tell the two apart; None where the data do.
    """

    interval: Interval
    limit: float
    need: Need | None = None

    @property
    def shown(self) -> bool:
        """Whether the whole interval is above the limit."""
        return self.interval.low > self.limit

    @property
    def refuted(self) -> bool:
        """Whether the whole interval is below the limit."""
        return self.interval.high < self.limit

    @property
    def clips_needed(self) -> int | None:
        """Clips that would be needed; None where none, or where pairs are."""
        return self.need.about if self.need is not None and self.need.of == "clips" else None


def evidence(
    drawn: Resampled, weights: Sequence[float], limit: float, *, level: float | None = None
) -> Evidence:
    """The widest interval of a contrast, and what would be needed to tell it from `limit`.

    Args:
        drawn: k quantities, resampled.
        weights: k numbers, whose weighted sum is the contrast.
        limit: what the contrast is compared with.
        level: of the interval; that of `drawn` if it is not given.
    """
    interval = widest(drawn, weights, level)
    found = Evidence(interval, limit)
    if found.shown or found.refuted:
        return found
    return Evidence(interval, limit, _need(drawn, weights, limit, interval))


def widest(drawn: Resampled, weights: Sequence[float], level: float | None = None) -> Interval:
    """From the lowest to the highest end of the bootstrap, the score interval and Student's t.

    At the level of `drawn` if none is given.
    """
    level = drawn.level if level is None else level
    values = _values(drawn, weights)
    by_pair, end = values.mean(axis=1), _end(weights)
    score, *others = over_clips(values.mean(axis=0), drawn.groups, -end, end, level=level)
    others.append(_bootstrap(drawn, weights, level))
    if len(by_pair) > 1:
        others.append(t_interval(by_pair.tolist(), level=level))
    return score.widened(*others, least=-end, most=end)


def over_clips(
    by_clip: npt.ArrayLike, groups: Groups | None, low: float, high: float, *, level: float
) -> list[Interval]:
    """The intervals of a mean over clips that no other one may be narrower than.

    Args:
        by_clip: [clips], each in low..high.
        groups: of clips that are not independent; None: each stands alone.
        low: the lower end.
        high: the upper end.
        level: of the intervals.

    Returns:
        The score interval, and where there are groups Student's t over them.
    """
    found = [score_interval(by_clip, low, high, level=level)]
    if groups is not None:
        found.append(group_t_interval(by_clip, groups, level=level))
    return found


def retained_share(drawn: Resampled, *, same: bool = False) -> Interval | None:
    """The share of the reference's gain that a deployment retains.

    Its interval holds the shares x for which the widest interval of the gain here, less x times
    the gain in the reference, holds zero (Fieller 1954): the share has the same standard as the
    verdict.

    Args:
        drawn: right or wrong of the reference's baseline and student and of the deployment's, in
            this order.
        same: the deployment computes what the reference computes: nothing is left to chance.

    Returns:
        None where the reference has no gain in this sample.
    """
    from scipy.optimize import brentq

    before, after = (
        float(drawn.contrast(weights).point) for weights in ((-1, 1, 0, 0), (0, 0, -1, 1))
    )
    if before < 0.5 / drawn.table[0].size:
        return None
    share = after / before
    if same:
        return Interval(share, share, share, drawn.level)

    def kept(x: float) -> Interval:
        return widest(drawn, (x, -x, -1.0, 1.0))

    low, high = -math.inf, math.inf
    for reach in _REACHES:
        if math.isinf(low) and kept(share - reach).low > 0:
            low = brentq(lambda x: kept(x).low, share - reach, share, xtol=_SHARE)
        if math.isinf(high) and kept(share + reach).high < 0:
            high = brentq(lambda x: kept(x).high, share, share + reach, xtol=_SHARE)
    return Interval(share, low, high, drawn.level)


def need_to_tell(drawn: Resampled, weights: Sequence[float], limit: float, *, level: float) -> Need:
    """How many clips, or trained pairs, would tell a contrast from its limit.

    The estimate and both ends of its range: if the contrast were where it is seen, at the far end
    of its interval, or at the near end of its interval at `UPPER_LEVEL`.
    """
    return _need(drawn, weights, limit, widest(drawn, weights, level))


def _need(drawn: Resampled, weights: Sequence[float], limit: float, outer: Interval) -> Need:
    values, level = _values(drawn, weights), outer.level
    by_clip, by_pair, end = values.mean(axis=0), values.mean(axis=1), _end(weights)
    inner = widest(drawn, weights, UPPER_LEVEL)
    far = max(outer.low, outer.high, key=lambda bound: abs(bound - limit))
    near = min(inner.low, inner.high, key=lambda bound: abs(bound - limit))
    open_above = inner.holds(limit)
    _, *of_groups = of_clips = over_clips(by_clip, drawn.groups, -end, end, level=level)
    if len(by_pair) > 1 and not any(one.holds(limit) for one in of_clips):
        spread = float(by_pair.std(ddof=1))
        gaps = [float(by_pair.mean()) - limit, far - limit, near - limit]
        about, least, most = (_pairs(len(by_pair), gap, spread, level) for gap in gaps)
        return Need("pairs", about, least or len(by_pair) + 1, None if open_above else most)
    about = clips_needed(by_clip, limit, -end, end, level=level)
    wider = 1.0
    if about is not None:
        others = [_bootstrap(drawn, weights, level), *of_groups]
        most = max(_by_width(one, limit, len(by_clip)) for one in others if math.isfinite(one.high))
        wider = max(1.0, most / about)
        about = max(about, most)
    low, high = (
        wider * clips_if(by_clip, bound, limit, -end, end, level=level) for bound in (far, near)
    )
    return Need(
        "clips",
        about,
        math.floor(min(low, math.inf if about is None else about)),
        None if open_above or math.isinf(high) else math.ceil(max(high, about or 0)),
    )


def _values(drawn: Resampled, weights: Sequence[float]) -> np.ndarray:
    """[pairs, clips] of the contrast."""
    return np.tensordot(np.asarray(weights, np.float64), drawn.table, axes=1)


def _end(weights: Sequence[float]) -> float:
    """How far from zero a contrast of right and wrong can be."""
    return float(np.abs(np.asarray(weights, np.float64)).sum() / 2)


def _bootstrap(drawn: Resampled, weights: Sequence[float], level: float) -> Interval:
    scale = np.asarray(weights, np.float64)
    return percentile(drawn.contrast(weights).point, drawn.draws @ scale, level)


def _by_width(interval: Interval, limit: float, count: int) -> int:
    """How many clips shrink a bootstrap's interval enough: as one over their root."""
    normal = NormalDist()
    surer = 1 + normal.inv_cdf(POWER) / normal.inv_cdf((1 + interval.level) / 2)
    bound = interval.low if interval.point > limit else interval.high
    return math.ceil(count * (surer * (interval.point - bound) / (interval.point - limit)) ** 2)


def _pairs(given: int, gap: float, spread: float, level: float) -> int | None:
    """How many trained pairs would tell a gap, if further ones differ as these do."""
    surer = NormalDist().inv_cdf(POWER)
    for pairs in range(given + 1, MOST_PAIRS + 1):
        width = (t_quantile((1 + level) / 2, pairs - 1) + surer) * spread / math.sqrt(pairs)
        if width < abs(gap):
            return pairs
    return None
