"""A network's answers to a list of clips as a table, written as CSV and read again."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infer.pipeline.rank import softmax
from infer.system.errors import ClipDuetError
from infer.system.files import write_text
from train.evaluation.evaluate import Evaluation

HEADS = (
    *("path", "label", "label_name", "prediction", "prediction_name", "right"),
    *("confidence", "label_confidence", "label_rank", "failed"),
)
FAILED = -1
"""The prediction for a clip that could not be read."""


@dataclass(frozen=True)
class Answers:
    """What a network said to each listed clip, in the order of the list.

    Attributes:
        paths: [listed].
        labels: int64 [listed].
        predictions: int64 [listed]; -1 for clips that could not be read.
        confidences: float64 [listed], the probability of the prediction; NaN where it failed.
    """

    paths: tuple[str, ...]
    labels: np.ndarray
    predictions: np.ndarray
    confidences: np.ndarray


def answers_of(result: Evaluation) -> Answers:
    """The answers of an evaluation."""
    scores = _scores(result)
    best = np.where(result.decoded, scores.max(axis=1), np.nan)
    return Answers(result.paths, result.labels, result.predictions, best)


def write_answers(file: Path, result: Evaluation, names: Sequence[str]) -> None:
    """Write a line a clip: label, prediction, probabilities, or why it could not be read.

    Args:
        file: the CSV file.
        result: the evaluation.
        names: of the classes, by label.
    """
    scores, why = _scores(result), dict(result.failed)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(HEADS)
    for path, label, guess, row in zip(
        result.paths, result.labels.tolist(), result.predictions.tolist(), scores, strict=True
    ):
        own = [_text(path), label, _text(names[label])]
        if guess == FAILED:
            writer.writerow([*own, "", "", 0, "", "", "", _text(why[path])])
            continue
        ahead = (row > row[label]) | ((row == row[label]) & (np.arange(len(row)) < label))
        writer.writerow([
            *own, guess, _text(names[guess]), int(guess == label), f"{row[guess]:.6f}",
            f"{row[label]:.6f}", int(ahead.sum()) + 1, "",
        ])  # fmt: skip
    write_text(file, text.getvalue())


def read_answers(file: Path) -> Answers:
    """Read what `write_answers` wrote.

    Raises:
        ClipDuetError: it cannot be read, or is something else.
    """
    try:
        with file.open(encoding="utf-8", newline="") as opened:
            rows = list(csv.DictReader(opened))
        return Answers(
            tuple(row["path"] for row in rows),
            np.array([int(row["label"]) for row in rows], np.int64),
            np.array([int(row["prediction"] or FAILED) for row in rows], np.int64),
            np.array([float(row["confidence"] or "nan") for row in rows], np.float64),
        )
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise ClipDuetError(f"{file} holds no answers of a network: {error}") from error


def _scores(result: Evaluation) -> np.ndarray:
    """float64 [listed, classes]: probabilities; those of clips that failed mean nothing.

    The logarithms of mean scores, of several views, are logits of these very scores.
    """
    return softmax(np.where(result.decoded[:, None], result.logits, 0.0))


def _text(value: str) -> str:
    """A name in a file of UTF-8; a path may hold any bytes."""
    return value.encode("utf-8", "backslashreplace").decode()
