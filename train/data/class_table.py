"""How many clips each class has, told at the start of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from train.data.lists import Sample

MOST_ROWS = 20
"""Classes that get a row of their own; of more, the least, the median and the most are told."""
SHOWN = 10  # classes that a warning names


def class_table(names: Sequence[str], splits: Mapping[str, Sequence[Sample]]) -> list[str]:
    """The table, and warnings about classes without clips and labels that begin at 1.

    Args:
        names: of the classes, by label.
        splits: labelled clips by their words in messages, such as "training".

    Returns:
        Lines to show.
    """
    counts = {
        split: np.bincount([sample.label for sample in samples], minlength=len(names))[: len(names)]
        for split, samples in splits.items()
    }
    if not counts:
        return []
    lines = _rows(names, counts) if len(names) <= MOST_ROWS else _ranges(counts)
    for split, count in counts.items():
        empty = np.flatnonzero(count == 0)
        if not len(empty):
            continue
        shown = ", ".join(_called(label, names[label]) for label in empty[:SHOWN].tolist())
        more = f" and {len(empty) - SHOWN} more" if len(empty) > SHOWN else ""
        lines.append(
            f"warning: {len(empty)} of {len(names)} classes have no {split} clip: {shown}{more}"
        )
        used = np.flatnonzero(count)
        if len(used) > 1 and used[0] == 1:
            lines.append(
                f"warning: the {split} labels go from 1 to {used[-1]}: if the list numbers its "
                "classes from 1, every clip has the label of the class after its own; labels "
                "begin at 0"
            )
    return lines


def _called(label: int, name: str) -> str:
    return name if name == str(label) else f"{label} {name}"


def _rows(names: Sequence[str], counts: Mapping[str, np.ndarray]) -> list[str]:
    labels = [_called(label, name) for label, name in enumerate(names)]
    width = max(len(text) for text in (*labels, "clips per class"))
    columns = {split: max(len(split), 7) for split in counts}
    heads = [f"{split:>{columns[split]}}" for split in counts]
    lines = ["  ".join([f"{'clips per class':<{width}}", *heads])]
    for label, text in enumerate(labels):
        cells = [f"{count[label]:>{columns[split]}}" for split, count in counts.items()]
        lines.append("  ".join([f"{text:<{width}}", *cells]))
    return lines


def _ranges(counts: Mapping[str, np.ndarray]) -> list[str]:
    return [
        "clips per class: "
        + "; ".join(
            f"{split} {count.min()} to {count.max()}, median {np.median(count):g}"
            for split, count in counts.items()
        )
    ]
