"""Result files of format versions 2 to 4, in the form of today.

The answers are all there, so that everything that follows from them is computed again: gains,
intervals, verdicts, flips, figures by class. What only files and logits tell stays as it was
stored. Calibration follows from logits, where they lie beside the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.errors import BenchmarkError
from benchmarks.deployments.accuracy import MODELS
from benchmarks.deployments.logits import logits_key, logits_path, read_logits
from benchmarks.gate.calibrations import add_calibrations
from benchmarks.gate.compare import compare_cells
from benchmarks.gate.conditions import apply_conditions
from benchmarks.gate.results.check import stored_answers
from benchmarks.gate.verdict import Rule
from benchmarks.stats.resample import Bootstrap, groups_of, settings_of
from infer.system.log import logger

log = logger("benchmarks.gate")

EARLIER = (2, 3, 4)
"""Format versions that are read besides that of today."""


def upgraded(results: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A result of an older version with the figures and verdicts of today.

    Args:
        results: as the file holds them.
        path: of the file.

    Raises:
        BenchmarkError: answers that contradict the labels. What is missing shows as a KeyError or
            the like.
    """
    reference, groups = results["reference"], groups_of(results["data"])
    bootstrap: Bootstrap = {**settings_of(results["conditions"]), "groups": groups}
    labels, pairs = np.asarray(results["data"]["labels"]), len(results["pairs"])
    answers: dict[str, dict[str, Any]] = {model: {} for model in MODELS}
    for row in results["cells"]:
        for model, found in stored_answers(row, labels, pairs, path).items():
            answers[model][row["cell"]] = found
    rows = compare_cells(
        labels,
        len(results["data"]["classes"]),
        answers,
        reference=reference,
        rule=Rule(results["rule"]["keep"], results["rule"]["margin"], bootstrap["level"]),
        bootstrap=bootstrap,
        same=[r["cell"] for r in results["cells"] if r["verdict"].get("same_network", False)],
    )
    for row, stored in zip(rows, results["cells"], strict=True):
        for model in MODELS:
            row[model] = {**stored[model], **row[model]}
    logits = _logits(results, path)
    if logits is not None:
        add_calibrations(rows, logits, reference=reference, labels=labels, bootstrap=bootstrap)
    for row in rows:
        if row["cell"] != reference:
            apply_conditions(row, results["rule"].get("require", {}))
    return {**results, "cells": rows}


def _logits(results: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]] | None:
    """Logits by model and cell, where the file has them beside it."""
    record = results.get("logits")
    if record is None or not logits_path(path).is_file():
        return None
    try:
        tables = read_logits(path, record)
    except BenchmarkError as error:
        log.warning(f"{error}; without it there is no calibration")
        return None
    return {
        model: {
            row["cell"]: [
                tables[logits_key(model, pair, row["cell"])] for pair in range(len(row["pairs"]))
            ]
            for row in results["cells"]
        }
        for model in MODELS
    }
