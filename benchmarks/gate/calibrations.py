"""The calibration of both models in every deployment, from their logits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy.typing as npt

from benchmarks.deployments.accuracy import MODELS
from benchmarks.measures.calibration import measure
from benchmarks.stats.resample import Bootstrap


def add_calibrations(
    rows: Sequence[dict[str, Any]],
    logits: Mapping[str, Mapping[str, Sequence[npt.ArrayLike]]],
    *,
    reference: str,
    labels: npt.ArrayLike,
    bootstrap: Bootstrap,
) -> None:
    """Add `calibration` to both models of the rows of a gate's cells.

    Args:
        rows: of the result file.
        logits: by model and cell those of each pair, float [clips, classes].
        reference: the cell that the others are compared with.
        labels: int [clips].
        bootstrap: settings of the resampling.
    """
    for row in rows:
        for model in MODELS:
            whole = None if row["cell"] == reference else logits[model][reference]
            row[model]["calibration"] = measure(
                logits[model][row["cell"]], labels, bootstrap, reference=whole
            )
