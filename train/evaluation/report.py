"""What an evaluation found, as files and as lines for a terminal."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from infer.system.files import write_text
from train.evaluation.answers import answers_of, write_answers
from train.evaluation.drawing import can_draw, write_confusion
from train.evaluation.evaluate import Evaluation, ListedClips
from train.evaluation.per_class import (
    ClassRow,
    confusion,
    macro_f1_interval,
    per_class,
    write_per_class,
)
from train.evaluation.shares import wilson
from train.evaluation.wrong_clips import write_wrong_clips

RESULTS, ANSWERS, PER_CLASS = "results.json", "predictions.csv", "per_class.csv"
TABLE, CONFUSION, WRONG = "confusion.csv", "confusion.svg", "wrong.html"
SHOWN = 30
"""Classes that are printed; of more, the worst."""


def figures(result: Evaluation) -> dict[str, Any]:
    """Accuracies with their 95 % intervals over clips.

    Those of top-1 and top-5 are Wilson's, that of the macro F1 is of resampled clips.
    """
    listed, right = len(result.labels), int(result.correct.sum())
    top5 = round(result.top5 * listed)
    classes = result.classes
    return {
        **result.summary(),
        "top1_interval": list(wilson(right, listed)),
        "top5_interval": list(wilson(top5, listed)),
        "macro_f1_interval": list(
            macro_f1_interval(result.labels, result.predictions, classes=classes)
        ),
    }


def write_report(
    folder: Path,
    result: Evaluation,
    dataset: ListedClips,
    names: Sequence[str],
    origin: Mapping[str, Any],
) -> list[str]:
    """Write everything that was found into a folder, `results.json` last.

    Args:
        folder: is made if it is not there.
        result: what the network said.
        dataset: the clips, for the page of mistakes.
        names: of the classes, by label.
        origin: what was evaluated on what, for `results.json`.

    Returns:
        What is printed: the figures, and the classes with their intervals.
    """
    table = confusion(result.labels, result.predictions, classes=len(names))
    rows = per_class(table, names)
    write_answers(folder / ANSWERS, result, names)
    write_per_class(folder / PER_CLASS, rows)
    write_text(folder / TABLE, _as_csv(table))
    if can_draw():
        write_confusion(folder / CONFUSION, table, names)
    write_wrong_clips(folder / WRONG, answers_of(result), dataset, names)
    found = figures(result)
    content = {**origin, "classes": list(names), **found}
    write_text(folder / RESULTS, json.dumps(content, indent=1) + "\n")
    return lines(found, rows)


def lines(found: Mapping[str, Any], rows: Sequence[ClassRow]) -> list[str]:
    """The `figures`, and the classes with their intervals, for a terminal."""
    listed, decoded = found["listed"], found["decoded"]
    said = [f"{listed} clips listed, {decoded} read, {listed - decoded} could not be read"]
    shares = [("top-1", "top1"), ("top-5", "top5"), ("macro F1", "macro_f1")]
    if len(rows) < 6:
        shares.pop(1)  # it would be right for every clip that was read
    for name, key in shares:
        low, high = found[f"{key}_interval"]
        said.append(f"{name:<9} {found[key]:7.2%}   95 % interval {low:.2%} to {high:.2%}")
    there = [row for row in rows if row.recall is not None]
    chosen = there
    if len(there) > SHOWN:
        chosen = sorted(there, key=lambda row: row.recall or 0.0)[:SHOWN]
        said.append(f"the {SHOWN} of {len(there)} classes that are right least often:")
    width = max(len(row.name) for row in chosen)
    for row in chosen:
        instead = f"   most often taken for {row.taken_for}" if row.taken_for else ""
        said.append(
            f"  {row.name:<{width}}  {row.right:>4} of {row.clips:<4}  {row.recall:7.2%} "
            f"({row.low:.0%} to {row.high:.0%}){instead}"
        )
    return said


def _as_csv(table: np.ndarray) -> str:
    """Labels in rows, predictions in columns by their numbers; the last: could not be read."""
    heads = ["label", *map(str, range(table.shape[0])), "failed"]
    rows = [[str(label), *map(str, row)] for label, row in enumerate(table.tolist())]
    return "".join(",".join(row) + "\n" for row in [heads, *rows])
