"""What a network knows of each class, with intervals."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from infer.system.files import write_text
from train.evaluation.shares import LEVEL, wilson

RESAMPLES = 1000
Interval = tuple[float, float]


@dataclass(frozen=True)
class ClassRow:
    """One class of a list.

    Attributes:
        label: its number.
        name: its name.
        clips: of the list; a clip that could not be read is one.
        right: of them.
        recall: right / clips; None where the list has none.
        low: lower end of the 95 % interval of the recall, by Wilson's formula.
        high: its upper end.
        predicted: clips that are taken for this class.
        precision: right / predicted; None where there is none.
        f1: 2 right / (clips + predicted); None where the list has none.
        taken_for: the class that its clips are most often taken for instead, or "".
    """

    label: int
    name: str
    clips: int
    right: int
    recall: float | None
    low: float | None
    high: float | None
    predicted: int
    precision: float | None
    f1: float | None
    taken_for: str


def confusion(labels: np.ndarray, predictions: np.ndarray, *, classes: int) -> np.ndarray:
    """int64 [classes, classes + 1]: clips by label and prediction; the last could not be read."""
    columns = np.where(predictions < 0, classes, predictions)
    flat = np.bincount(labels * (classes + 1) + columns, minlength=classes * (classes + 1))
    return flat.reshape(classes, classes + 1)


def per_class(table: np.ndarray, names: Sequence[str]) -> list[ClassRow]:
    """A row a class, of what `confusion` gives."""
    rows = []
    for label, name in enumerate(names):
        own, right = table[label], int(table[label, label])
        clips, predicted = int(own.sum()), int(table[:, label].sum())
        others = own[:-1].copy()
        others[label] = 0
        low, high = wilson(right, clips) if clips else (None, None)
        rows.append(
            ClassRow(
                label=label,
                name=name,
                clips=clips,
                right=right,
                recall=right / clips if clips else None,
                low=low,
                high=high,
                predicted=predicted,
                precision=right / predicted if predicted else None,
                f1=2 * right / (clips + predicted) if clips else None,
                taken_for=names[int(others.argmax())] if others.any() else "",
            )
        )
    return rows


def macro_f1(table: np.ndarray) -> float:
    """Mean F1 of the classes that the list has; a clip that could not be read is a miss."""
    clips, predicted = table.sum(axis=1), table[:, :-1].sum(axis=0)
    there = clips > 0
    return float((2 * np.diag(table)[there] / (clips + predicted)[there]).mean())


def macro_f1_interval(labels: np.ndarray, predictions: np.ndarray, *, classes: int) -> Interval:
    """Its 95 % interval: percentiles of resampled lists; the same clips give the same interval."""
    rng, listed = np.random.default_rng(0), len(labels)
    found = []
    for _ in range(RESAMPLES):
        drawn = rng.integers(0, listed, listed)
        found.append(macro_f1(confusion(labels[drawn], predictions[drawn], classes=classes)))
    low, high = np.quantile(found, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def write_per_class(file: Path, rows: Sequence[ClassRow]) -> None:
    """Write a line a class as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(ClassRow.__dataclass_fields__), lineterminator="\n")
    writer.writeheader()
    for row in rows:
        cells = {
            key: "" if value is None else f"{value:.4f}" if isinstance(value, float) else value
            for key, value in asdict(row).items()
        }
        writer.writerow(cells)
    write_text(file, text.getvalue())
