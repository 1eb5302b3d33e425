"""What a model answers, and what follows from its answers.

Per clip two integers are kept: the class that was answered and the rank of the true one. Every
accuracy, gain, interval and test is a function of these (and of nothing else), so a stored result
can be recomputed and checked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.deployments.deployment import Deployment
from benchmarks.stats import paired
from train.evaluation import per_class

MODELS = ("baseline", "student")

FAILED = -1  # prediction and rank of a clip that could not be read; it counts as wrong

# Two float32 runtimes may sum in another order; they may not compute something else.
FP32_MAX_DIFFERENCE = 1e-3
FP32_MIN_AGREEMENT = 0.995

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Answers:
    """What one model said in one cell.

    Attributes:
        predictions: int64 [clips], the class with the largest logit, FAILED where none was
            computed.
        ranks: int64 [clips], how many classes were ahead of the true one (0 = right), or FAILED.
    """

    predictions: Ints
    ranks: Ints

    def within(self, k: int) -> npt.NDArray[np.bool_]:
        """Whether the true class is among the first k, bool [clips]."""
        right: npt.NDArray[np.bool_] = (self.ranks >= 0) & (self.ranks < k)
        return right

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
        """Whether the true class is the first, bool [clips]."""
        return self.within(1)


def answers_of(logits: npt.NDArray[np.floating[Any]], labels: npt.ArrayLike) -> Answers:
    """Answers from logits float [clips, classes]; a row with NaN is a clip that failed.

    Equal logits are ranked in class order, as argmax does.
    """
    values = np.asarray(logits, dtype=np.float64)
    truth = np.asarray(labels, dtype=np.int64)
    failed = np.asarray(np.isnan(values).any(axis=1))
    own = values[np.arange(len(truth)), truth][:, None]
    earlier = np.arange(values.shape[1])[None, :] < truth[:, None]
    with np.errstate(invalid="ignore"):
        ranks = ((values > own) | ((values == own) & earlier)).sum(axis=1)
    predictions = np.where(failed[:, None], 0.0, values).argmax(axis=1)
    return Answers(
        np.where(failed, FAILED, predictions).astype(np.int64),
        np.where(failed, FAILED, ranks).astype(np.int64),
    )


def macro_f1(predictions: npt.ArrayLike, labels: npt.ArrayLike, classes: int) -> float:
    """Mean F1 of the classes in the list; a failed clip misses its class."""
    table = per_class.confusion(np.asarray(labels), np.asarray(predictions), classes=classes)
    return per_class.macro_f1(table)


def macro_f1_gain(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    labels: npt.ArrayLike,
    classes: int,
    *,
    resamples: int = paired.RESAMPLES,
    seed: int = 0,
    level: float = paired.LEVEL,
) -> paired.Interval:
    """Macro-F1 of predictions b minus that of predictions a, resampled over clips."""
    first, second, truth = np.asarray(a), np.asarray(b), np.asarray(labels)
    patterns, counts = np.unique(np.stack([truth, first, second]), axis=1, return_counts=True)
    rng = np.random.default_rng(seed)
    draws = np.empty(resamples)
    block = max(1, 2_000_000 // patterns.shape[1])  # 16 MB of counts at a time
    for start in range(0, resamples, block):
        size = min(block, resamples - start)
        drawn = rng.multinomial(len(truth), counts / len(truth), size=size).astype(np.float64)
        draws[start : start + size] = _f1_of_counts(
            drawn, patterns[0], patterns[2], classes
        ) - _f1_of_counts(drawn, patterns[0], patterns[1], classes)
    point = macro_f1(second, truth, classes) - macro_f1(first, truth, classes)
    tail = (1 - level) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return paired.Interval(point, min(point, float(low)), max(point, float(high)), level)


def _f1_of_counts(
    drawn: npt.NDArray[np.float64], truth: Ints, said: Ints, classes: int
) -> npt.NDArray[np.float64]:
    """[resamples, patterns] counts -> [resamples] macro-F1."""
    label = np.eye(classes)[truth]
    answer = np.where(said[:, None] >= 0, np.eye(classes)[np.maximum(said, 0)], 0.0)
    hits = drawn @ (label * answer)
    support, answered = drawn @ label, drawn @ answer
    present = support > 0
    scores = np.where(present, 2 * hits / np.maximum(support + answered, 1.0), 0.0)
    means: npt.NDArray[np.float64] = scores.sum(axis=1) / present.sum(axis=1)
    return means


def agreement(reference: Answers, other: Answers) -> float:
    """Share of clips with the same answer, of those that could be read."""
    read = (reference.predictions >= 0) & (other.predictions >= 0)
    if not read.any():
        return float("nan")
    return float((reference.predictions == other.predictions)[read].mean())


def largest_difference(
    reference: npt.NDArray[np.floating[Any]], other: npt.NDArray[np.floating[Any]]
) -> tuple[float, int]:
    """Largest |difference| of two logit tables [clips, classes] and the clip it occurs on."""
    gap = np.abs(np.asarray(reference, np.float64) - np.asarray(other, np.float64)).max(axis=1)
    if np.isnan(gap).all():
        return float("nan"), 0
    clip = int(np.nanargmax(gap))
    return float(gap[clip]), clip


def parity_problem(
    cell: Deployment,
    reference: npt.NDArray[np.floating[Any]],
    logits: npt.NDArray[np.floating[Any]],
    paths: Sequence[str],
) -> str | None:
    """Why a cell does not compute what the reference computes, or None if it does.

    fp32 must agree with fp32 to rounding. Lower precisions may lose accuracy (that is what is
    measured) but not answer other clips than the reference could read.
    """
    if reference.shape != logits.shape:
        return f"logits {logits.shape} instead of {reference.shape}"
    differing = np.isnan(reference).any(axis=1) != np.isnan(logits).any(axis=1)
    if differing.any():
        worst = paths[int(np.flatnonzero(differing)[0])]
        return (
            f"one of it and the reference has no finite logits for {int(differing.sum())} clips, "
            f"first {worst}"
        )
    if cell.precision != "fp32":
        return None
    zeros = np.zeros(len(reference), np.int64)
    same = agreement(answers_of(reference, zeros), answers_of(logits, zeros))
    gap, clip = largest_difference(reference, logits)
    allowed = _rounding(reference)
    # On a short list one tie that falls the other way is no proof of a wrong network.
    missing = (1 - same) * len(reference)
    if gap > allowed or missing > max(1.5, (1 - FP32_MIN_AGREEMENT) * len(reference)):
        return (
            f"logits {logits.shape} differ by up to {gap:.3g} (allowed {allowed:.3g}, worst clip "
            f"{paths[clip]}) and {same:.2%} of the answers agree: not the same network; export "
            "the bundle again"
        )
    return None


def is_same_network(
    cell: Deployment,
    reference: npt.NDArray[np.floating[Any]],
    logits: npt.NDArray[np.floating[Any]],
) -> bool:
    """A float network with all of the reference's answers and, to rounding, its logits.

    What it would do on other clips is then no matter of chance, but of ties closer than rounding.
    """
    # Where no clip could be read, nothing is equal.
    if cell.precision != "fp32" or not np.isfinite(reference).any():
        return False
    zeros = np.zeros(len(reference), np.int64)
    here, there = (answers_of(table, zeros).predictions for table in (reference, logits))
    gap, _ = largest_difference(reference, logits)
    return bool(np.array_equal(here, there)) and not gap > _rounding(reference)


def _rounding(reference: npt.NDArray[np.floating[Any]]) -> float:
    """Largest difference of two fp32 logits that summing in another order explains."""
    finite = np.abs(reference[np.isfinite(reference)])
    return FP32_MAX_DIFFERENCE * max(1.0, float(finite.max(initial=0.0)))
