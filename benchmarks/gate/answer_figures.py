"""What the answers of a deployment tell besides top-1: flips and every class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from benchmarks.deployments.accuracy import MODELS
from benchmarks.measures.classes import class_figures
from benchmarks.measures.flips import directed_flips
from benchmarks.stats.gains import Right
from benchmarks.stats.resample import Bootstrap


def add_answer_figures(
    rows: Sequence[dict[str, Any]],
    right: Mapping[str, Mapping[str, Right]],
    *,
    reference: str,
    labels: npt.ArrayLike,
    bootstrap: Bootstrap,
) -> None:
    """Add flips and classes to the rows of a gate's cells.

    A row gets `flips`, of the baseline's answers against the student's; each of its models
    `classes`, and `flips` of the reference's answers against its own.

    Args:
        rows: of the result file.
        right: by model and cell bool [pairs, clips].
        reference: the cell that the others are compared with.
        labels: int [clips].
        bootstrap: settings of the resampling.
    """
    classes = {
        model: class_figures(cells, reference, labels, bootstrap) for model, cells in right.items()
    }
    for row in rows:
        key = row["cell"]
        row["flips"] = directed_flips(right["baseline"][key], right["student"][key], bootstrap)
        for model in MODELS:
            row[model]["classes"] = classes[model][key]
            if key != reference:
                whole = right[model][reference]
                row[model]["flips"] = directed_flips(whole, right[model][key], bootstrap)
