"""What each model answers in each deployment, and what follows from the answers.

A cell is one way to deploy a network: a runtime and a precision. Per clip two integers are kept:
the class that was answered and the rank of the true one. Every accuracy, gain, interval and test
is a function of these (and of nothing else), so a stored result can be recomputed and checked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import stats
from benchmarks.errors import BenchmarkError

FAILED = -1  # prediction and rank of a clip that could not be read; it counts as wrong

# Two float32 runtimes may sum in another order; they may not compute something else.
FP32_MAX_DIFFERENCE = 1e-3
FP32_MIN_AGREEMENT = 0.995

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, order=True)
class Cell:
    """One way to deploy: a runtime and a precision, written "runtime:precision"."""

    backend: str
    precision: str

    @property
    def key(self) -> str:
        return f"{self.backend}:{self.precision}"

    @classmethod
    def parse(cls, text: str) -> Cell:
        backend, colon, precision = text.partition(":")
        if not (backend and colon and precision):
            raise BenchmarkError(
                f"cell {text!r} is not of the form runtime:precision, for example "
                f"{DEFAULT_CELLS[1].key}"
            )
        return cls(backend, precision)


DEFAULT_CELLS = (Cell("paddle", "fp32"), Cell("onnxruntime", "fp32"), Cell("onnxruntime", "int8"))


@dataclass(frozen=True)
class Answers:
    """What one model said in one cell.

    predictions: int64 [clips], the class with the largest logit, FAILED where none was computed.
    ranks: int64 [clips], how many classes were ahead of the true one (0 = right), or FAILED.
    """

    predictions: Ints
    ranks: Ints

    def within(self, k: int) -> npt.NDArray[np.bool_]:
        """bool [clips]: the true class is among the first k."""
        right: npt.NDArray[np.bool_] = (self.ranks >= 0) & (self.ranks < k)
        return right

    @property
    def correct(self) -> npt.NDArray[np.bool_]:
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
    said, truth = np.asarray(predictions), np.asarray(labels)
    hits = np.bincount(truth[said == truth], minlength=classes)
    support = np.bincount(truth, minlength=classes)
    answered = np.bincount(said[said >= 0], minlength=classes)
    present = support > 0
    return float((2 * hits[present] / (support + answered)[present]).mean())


def macro_f1_gain(
    a: npt.ArrayLike,
    b: npt.ArrayLike,
    labels: npt.ArrayLike,
    classes: int,
    *,
    resamples: int = stats.RESAMPLES,
    seed: int = 0,
    level: float = stats.LEVEL,
) -> stats.Interval:
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
    return stats.Interval(point, min(point, float(low)), max(point, float(high)), level)


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


def figures(
    answers: Answers, labels: npt.ArrayLike, classes: int, *, level: float = stats.LEVEL
) -> dict[str, Any]:
    """Top-1 and top-5 with Wilson intervals, macro-F1, and how often each class was answered."""
    clips = len(answers.predictions)
    said = answers.predictions[answers.predictions >= 0]
    return {
        "top1": stats.wilson(int(answers.within(1).sum()), clips, level=level).to_dict(),
        "top5": stats.wilson(int(answers.within(5).sum()), clips, level=level).to_dict(),
        "macro_f1": macro_f1(answers.predictions, labels, classes),
        "classes_answered": len(np.unique(said)),
    }


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


def check_parity(
    model: str,
    cell: Cell,
    reference: npt.NDArray[np.floating[Any]],
    logits: npt.NDArray[np.floating[Any]],
    paths: Sequence[str],
    *,
    reference_key: str,
) -> None:
    """Refuse to go on when a cell does not compute what the reference computes.

    fp32 must agree with fp32 to rounding. Lower precisions may lose accuracy (that is what is
    measured) but not produce NaN, nor answer clips that the reference could not read.

    Raises:
        BenchmarkError: says shapes, tolerance and the worst clip.
    """
    where = f"{model} in {cell.key}, compared with {reference_key}"
    if reference.shape != logits.shape:
        raise BenchmarkError(f"{where}: logits {logits.shape} instead of {reference.shape}")
    differing = np.isnan(reference).any(axis=1) != np.isnan(logits).any(axis=1)
    if differing.any():
        worst = paths[int(np.flatnonzero(differing)[0])]
        raise BenchmarkError(
            f"{where}: one of the two has no finite logits for {int(differing.sum())} clips, "
            f"first {worst}; nothing was timed. Export the bundle again, or leave the cell out"
        )
    if cell.precision != "fp32":
        return
    zeros = np.zeros(len(reference), np.int64)
    same = agreement(answers_of(reference, zeros), answers_of(logits, zeros))
    gap, clip = largest_difference(reference, logits)
    finite = np.abs(reference[np.isfinite(reference)])
    allowed = FP32_MAX_DIFFERENCE * max(1.0, float(finite.max(initial=0.0)))
    # On a short list one tie that falls the other way is no proof of a wrong network.
    missing = (1 - same) * len(reference)
    if gap > allowed or missing > max(1.5, (1 - FP32_MIN_AGREEMENT) * len(reference)):
        raise BenchmarkError(
            f"{where}: logits {logits.shape} differ by up to {gap:.3g} (allowed {allowed:.3g}, "
            f"worst clip {paths[clip]}) and {same:.2%} of the answers agree; nothing was timed. "
            "These are not the same network: export the bundle again"
        )


def compare_cells(
    labels: npt.ArrayLike,
    classes: int,
    answers: Mapping[str, Mapping[str, Answers]],
    *,
    reference: str,
    resamples: int = stats.RESAMPLES,
    seed: int = 0,
    level: float = stats.LEVEL,
) -> list[dict[str, Any]]:
    """Figures, gain, and what is left of it, for each cell.

    answers: {"baseline": {cell: Answers}, "student": {cell: Answers}}, the same cells in both.
    reference: the cell whose gain counts as whole.
    """
    options: stats.Bootstrap = {"resamples": resamples, "seed": seed, "level": level}
    base, dml = answers["baseline"], answers["student"]
    whole = stats.compare(base[reference].correct, dml[reference].correct, **options)
    rows = []
    for key in base:
        right = [base[reference].correct, dml[reference].correct]
        here = [base[key].correct, dml[key].correct]
        gain = stats.compare(*here, **options)
        share = stats.share_of_gain(*right, *here, **options)
        change = stats.paired_contrast([*right, *here], [1, -1, -1, 1], **options)
        row: dict[str, Any] = {
            "cell": key,
            "gain": gain.to_dict(),
            "gain_top5": stats.compare(
                base[key].within(5), dml[key].within(5), **options
            ).to_dict(),
            "gain_macro_f1": macro_f1_gain(
                base[key].predictions, dml[key].predictions, labels, classes, **options
            ).to_dict(),
            "gain_left": {
                "share": share.to_dict() if share is not None else None,
                # A share of nothing says nothing, whatever number comes out.
                "meaningful": whole.distinguishable and whole.difference.point > 0,
            },
            "gain_change": {**change.to_dict(), "distinguishable": change.excludes_zero},
        }
        for model, given in answers.items():
            row[model] = {
                **figures(given[key], labels, classes, level=level),
                "agreement": agreement(given[reference], given[key]),
                "change": stats.compare(
                    given[reference].correct, given[key].correct, **options
                ).to_dict(),
            }
        rows.append(row)
    return rows
