"""Invented pairs of models whose truth is known, and what the gate says of samples of them.

A world is a distribution over the 16 ways in which four models can be right or wrong on a clip:
the reference's baseline and student and the deployment's. Many experiments are drawn and judged
at once; `tests/benchmarks/gate/test_verdict_rates.py` holds them to what
`benchmarks.gate.verdict` says of the same samples.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from benchmarks.gate.verdict import (
    CHANGE,
    FAIL,
    GAIN,
    NO_GAIN_LEVEL,
    PASS,
    UNCLEAR,
    Rule,
    decide,
    retained_weights,
)
from benchmarks.stats.paired import mcnemar_exact

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# bool [16, 4]: which of the four is right in each way.
WAYS = np.array([[bool(way >> model & 1) for model in range(4)] for way in range(16)])
VERDICTS = (PASS, UNCLEAR, FAIL)
STEPS = 60
BOTH, ONE = 0.7, 0.03  # shares of clips that both models of the reference get right, and one alone


@dataclass(frozen=True)
class Change:
    """Shares of all clips that deployment turns right and wrong."""

    won: float
    lost: float


def true_chances(gain: float, *, baseline: Change, student: Change) -> Floats:
    """Chances [16]: a student that gains `gain`, and what deployment does to both models.

    Deployment turns answers of the two models independently of each other.
    """
    reference = {
        (True, True): BOTH,
        (True, False): ONE - min(gain, 0.0),
        (False, True): ONE + max(gain, 0.0),
    }
    reference[False, False] = 1 - sum(reference.values())
    right = [sum(share for way, share in reference.items() if way[model]) for model in (0, 1)]
    chances = np.empty(16)
    for way, models in enumerate(WAYS.tolist()):
        chance = reference[models[0], models[1]]
        for before, after, share, change in zip(
            models[:2], models[2:], right, (baseline, student), strict=True
        ):
            turn = change.lost / share if before else change.won / (1 - share)
            chance *= turn if before != after else 1 - turn
        chances[way] = chance
    return chances


def true_verdict(chances: Floats, rule: Rule) -> str:
    """The verdict that a world deserves; unclear exactly at a limit that decides."""
    means = chances @ WAYS
    change = float(means @ CHANGE) + rule.margin
    kept, gain = float(means @ retained_weights(rule.keep)), float(means @ GAIN)
    tiny = 1e-12
    return decide(
        change_shown=change > tiny,
        change_refuted=change < -tiny,
        kept_shown=kept > tiny,
        kept_refuted=kept < -tiny,
        gain_shown=gain > tiny,
        gain_refuted=gain <= tiny,
    )


def samples(chances: Floats, clips: int, experiments: int, rng: np.random.Generator) -> Ints:
    """Counts [experiments, 16] of each way."""
    return rng.multinomial(clips, chances, size=experiments)


def verdicts(
    counts: Ints, rule: Rule, rng: np.random.Generator, *, resamples: int
) -> npt.NDArray[np.int64]:
    """The verdict of every sample [experiments], as a place in VERDICTS."""
    total = int(counts[0].sum())
    drawn = rng.multinomial(
        total, (counts / total)[:, None, :], size=(len(counts), resamples)
    ) @ WAYS.astype(np.float64)
    contrasts: dict[str, tuple[tuple[float, ...], float, float]] = {
        "change": (CHANGE, -rule.margin, rule.level),
        "kept": (retained_weights(rule.keep), 0.0, rule.level),
        "gain": (GAIN, 0.0, NO_GAIN_LEVEL),
    }
    facts: dict[str, npt.NDArray[np.bool_]] = {}
    for name, (weights, limit, level) in contrasts.items():
        shown, refuted = _told(counts, drawn @ np.asarray(weights) / total, weights, limit, level)
        facts |= {f"{name}_shown": shown, f"{name}_refuted": refuted}
    facts["gain_shown"] = _significant(counts, drawn @ np.asarray(GAIN) / total, rule.level)
    names = list(facts)
    table = {
        values: VERDICTS.index(decide(**dict(zip(names, values, strict=True))))
        for values in {*zip(*(facts[name].tolist() for name in names), strict=True)}
    }
    return np.array([table[row] for row in zip(*(facts[n].tolist() for n in names), strict=True)])


def _told(
    counts: Ints, drawn: Floats, weights: tuple[float, ...], limit: float, level: float
) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Above and below the limit by the bootstrap and the score test, each [experiments]."""
    tail = (1 - level) / 2
    low = np.quantile(drawn, tail, axis=1, method="lower")
    high = np.quantile(drawn, 1 - tail, axis=1, method="higher")
    z, end = NormalDist().inv_cdf((1 + level) / 2), float(np.abs(weights).sum() / 2)
    values = WAYS.astype(np.float64) @ np.asarray(weights)
    shares = counts / counts.sum(axis=1, keepdims=True)
    means = shares @ values
    far = (means - limit) ** 2 * counts.sum(axis=1)
    above = far > z * z * _variances(shares, values, limit, -end)
    below = far > z * z * _variances(shares, -values, -limit, -end)
    slack = 1e-12  # as benchmarks.stats.resample.percentile
    return (
        (means > limit) & above & (low > limit + slack),
        (means < limit) & below & (high < limit - slack),
    )


def _variances(shares: Floats, values: Floats, limit: float, low: float) -> Floats:
    """[experiments]: as benchmarks.stats.score, with the limit below the means."""
    gaps = values - limit
    gentle, steep = np.zeros(len(shares)), np.full(len(shares), 1 / (limit - low))
    inside = values > low + 1e-12

    def pulls(tilt: Floats) -> Floats:
        weights = 1 + tilt[:, None] * gaps
        safe = np.where(weights > 1e-15, weights, 1.0)
        total = (shares * gaps / safe).sum(axis=1)
        empty = ((shares > 0) & (weights <= 1e-15)).any(axis=1)
        return np.where(empty, -np.inf, total)

    whole = pulls(steep) >= 0
    top = steep.copy()
    for _ in range(STEPS):
        middle = (gentle + steep) / 2
        up = pulls(middle) > 0
        gentle, steep = np.where(up, middle, gentle), np.where(up, steep, middle)
    tilt = np.where(whole, top, gentle)
    weights = np.where(inside, shares / np.where(inside, 1 + tilt[:, None] * gaps, 1.0), 0.0)
    rest = np.maximum(0.0, 1 - weights.sum(axis=1))
    found: Floats = (weights * gaps**2).sum(axis=1) + rest * (low - limit) ** 2
    return found


def _significant(counts: Ints, drawn: Floats, level: float) -> npt.NDArray[np.bool_]:
    """The gain is above zero by the bootstrap and by McNemar's exact test, [experiments]."""
    low = np.quantile(drawn, (1 - level) / 2, axis=1, method="lower")
    only = [counts[:, WAYS[:, a] & ~WAYS[:, b]].sum(axis=1) for a, b in ((0, 1), (1, 0))]
    p = np.array([mcnemar_exact(int(a), int(b)) for a, b in zip(*only, strict=True)])
    real: npt.NDArray[np.bool_] = (low > 1e-12) & (p < 1 - level) & (only[1] > only[0])
    return real
