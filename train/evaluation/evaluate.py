"""Measure a classifier over every clip of a list; a clip that cannot be read counts as wrong.

Nothing is ever left out or replaced: decoded + failed == listed holds for every result.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from tqdm import tqdm

from infer.pipeline.rank import joined_logits
from infer.system.errors import ClipDuetError
from train.data.lists import Sample
from train.data.loader import ClipSource, epoch_batches
from train.data.unreadable import reasons
from train.evaluation.per_class import confusion, macro_f1

Run = Callable[[np.ndarray], np.ndarray]


class EvaluationError(ClipDuetError):
    """The evaluation is not one: numbers that do not add up, or a network that does not fit."""


class ListedClips(ClipSource, Protocol):
    """A dataset in evaluation mode; `train.data.dataset.ClipDataset` is one."""

    @property
    def samples(self) -> Sequence[Sample]:
        """What the list holds, in its order."""


@dataclass(frozen=True)
class Evaluation:
    """What a network said to each listed clip, in the order of the list.

    Attributes:
        logits: float32 [listed, classes]; NaN in the rows of clips that could not be read. With
            several views a clip they are the logarithm of the mean of the views' softmax scores.
        labels: int64 [listed].
        paths: [listed].
        failed: (path, reason) of each clip that could not be read, in the order of the list.

    Raises:
        EvaluationError: decoded + failed == listed does not hold, or shapes do not fit.
    """

    logits: np.ndarray
    labels: np.ndarray
    paths: tuple[str, ...]
    failed: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        listed = len(self.paths)
        if self.logits.ndim != 2 or len(self.logits) != listed or self.labels.shape != (listed,):
            raise EvaluationError(
                f"{listed} clips are listed, but logits are {self.logits.shape} "
                f"and labels {self.labels.shape}"
            )
        if listed == 0:
            raise EvaluationError("nothing to evaluate: the list is empty")
        if self.labels.min() < 0 or self.labels.max() >= self.classes:
            raise EvaluationError(
                f"labels go from {self.labels.min()} to {self.labels.max()}, "
                f"but the network knows the classes 0 to {self.classes - 1}"
            )
        decoded = int(self.decoded.sum())
        if decoded + len(self.failed) != listed:
            raise EvaluationError(
                f"{decoded} clips decoded + {len(self.failed)} failed is not {listed} listed"
            )
        unread = [path for path, read in zip(self.paths, self.decoded, strict=True) if not read]
        if unread != [path for path, _ in self.failed]:
            raise EvaluationError("the clips without logits are not those listed as failed")

    @property
    def classes(self) -> int:
        """Number of classes."""
        return int(self.logits.shape[1])

    @property
    def decoded(self) -> np.ndarray:
        """Whether each clip could be read, bool [listed]."""
        return ~np.isnan(self.logits).any(axis=1)

    @property
    def predictions(self) -> np.ndarray:
        """int64 [listed]: the best class, the first of equals; -1 for clips that failed."""
        best = np.where(self.decoded[:, None], self.logits, 0).argmax(axis=1)
        return np.where(self.decoded, best, -1).astype(np.int64)

    @property
    def correct(self) -> np.ndarray:
        """Whether the best class is the label, bool [listed]; False for clips that failed."""
        return self.predictions == self.labels

    @property
    def top1(self) -> float:
        """Share of listed clips whose best class is the label."""
        return float(self.correct.mean())

    @property
    def top5(self) -> float:
        """Share of listed clips whose label is among the best five (or all, if there are fewer)."""
        return self.top(5)

    def top(self, k: int) -> float:
        """Share of listed clips whose label is among the best k; of equals the first ones count."""
        own = np.take_along_axis(self.logits, self.labels[:, None], axis=1)
        first = np.arange(self.classes) < self.labels[:, None]
        ahead = (self.logits > own) | ((self.logits == own) & first)
        return float((self.decoded & (ahead.sum(axis=1) < k)).mean())

    @property
    def recall(self) -> np.ndarray:
        """float64 [classes]: share of each class's clips that are right; NaN where it has none."""
        table = self._table
        clips = table.sum(axis=1)
        return np.where(clips > 0, np.diag(table) / np.maximum(clips, 1), np.nan)

    @property
    def macro_f1(self) -> float:
        """Mean F1 = 2 TP / (2 TP + FP + FN) of the classes in the list; failed clips are FN."""
        return macro_f1(self._table)

    def summary(self) -> dict[str, Any]:
        """The figures as plain numbers, for a log or a JSON file."""
        return {
            "listed": len(self.paths),
            "decoded": int(self.decoded.sum()),
            "failed": [list(pair) for pair in self.failed],
            "top1": self.top1,
            "top5": self.top5,
            "macro_f1": self.macro_f1,
            "recall": [None if np.isnan(value) else float(value) for value in self.recall],
        }

    @property
    def _table(self) -> np.ndarray:
        return confusion(self.labels, self.predictions, classes=self.classes)


def evaluate(
    run: Run,
    dataset: ListedClips,
    *,
    batch_size: int,
    workers: int,
    progress: str | None = None,
    may_all_fail: bool = False,
) -> Evaluation:
    """Read every clip of `dataset` as deployment would, run the network, collect its answers.

    Args:
        run: uint8 [n, T, H, W, 3] -> logits [n, classes], n at most `batch_size`.
        dataset: the listed clips.
        batch_size: clips that go through the network at once.
        workers: threads that read ahead; 0 reads in the caller.
        progress: words before a progress bar, which appears on a terminal only; None for no bar.
        may_all_fail: return also if none of the clips can be read: the caller says what that
            means.

    Raises:
        EvaluationError: the network returns something else than finite logits for each clip, or
            has fewer classes than the list; or none of the clips can be read.
    """
    samples = dataset.samples
    rows: list[np.ndarray | None] = [None] * len(samples)
    failed: dict[int, str] = {}
    labels = np.array([sample.label for sample in samples], np.int64)
    batches = epoch_batches(
        dataset,
        batch_size=max(batch_size // dataset.views, 1),
        seed=0,
        epoch=0,
        shuffle=False,
        drop_last=False,
        workers=workers,
    )
    # disable=None: tqdm draws on a terminal only.
    bar = tqdm(
        total=len(samples), desc=progress, unit="clip", disable=True if progress is None else None
    )
    with bar:
        for batch in batches:
            logits = _run(run, batch.clips, batch_size)
            scores = _join_views(logits, dataset.views)
            for index, row in zip(batch.indices.tolist(), scores, strict=True):
                rows[index] = row
            failed.update({index: error.reason for index, error in batch.failed})
            bar.update(len(batch.indices) + len(batch.failed))

    classes = next((len(row) for row in rows if row is not None), int(labels.max(initial=0)) + 1)
    missing = np.full(classes, np.nan, np.float32)
    paths = tuple(str(sample.path) for sample in samples)
    found = Evaluation(
        logits=np.stack([missing if row is None else row for row in rows])
        if rows
        else np.empty((0, classes), np.float32),
        labels=labels,
        paths=paths,
        failed=tuple((paths[index], failed[index]) for index in sorted(failed)),
    )
    if not (found.decoded.any() or may_all_fail):
        what = f"none of the {len(paths)} listed clips can be read, so nothing is measured:"
        raise EvaluationError("\n  ".join([what, *reasons(found.failed)]))
    return found


def _run(run: Run, clips: np.ndarray, batch_size: int) -> np.ndarray:
    """float32 [n, classes] of all clips, in pieces of at most `batch_size`."""
    pieces = []
    for begin in range(0, len(clips), batch_size):
        piece = clips[begin : begin + batch_size]
        logits = np.asarray(run(piece), np.float32)
        if logits.ndim != 2 or len(logits) != len(piece):
            raise EvaluationError(
                f"the network returned logits of shape {logits.shape} for {len(piece)} clips; "
                f"expected [{len(piece)}, classes]"
            )
        if not np.isfinite(logits).all():
            raise EvaluationError(
                "the network returned NaN or infinite logits: its weights or its precision are "
                "broken, so there is no accuracy to report"
            )
        pieces.append(logits)
    return np.concatenate(pieces) if pieces else np.empty((0, 1), np.float32)


def _join_views(logits: np.ndarray, views: int) -> np.ndarray:
    """[n * views, classes] to [n, classes]: one view stays as it is, several are averaged."""
    if views == 1:
        return logits
    joined = np.empty((len(logits) // views, logits.shape[1]), np.float32)
    for sample, row in enumerate(joined):
        row[:] = joined_logits(logits[sample * views : (sample + 1) * views])
    return joined
