"""Result files of format versions 2 and 3, in the form of today.

The answers are all there, so that everything that follows from them is computed again. What was
resampled besides stays as it was stored.

Version 2 left out what is kept of the gain where the gain was not significant, so that the change
of the student alone decided, and looked for models that answer one class only where the reference
did not: its verdicts are made anew. Version 3 had neither flips nor figures by class, and no class
that collapses failed a deployment. Calibration follows from logits, where they lie beside the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.errors import BenchmarkError
from benchmarks.deployments.accuracy import MODELS
from benchmarks.deployments.logits import logits_key, logits_path, read_logits
from benchmarks.gate.answer_figures import add_answer_figures
from benchmarks.gate.calibrations import add_calibrations
from benchmarks.gate.deployment_verdict import cell_verdict, correct_within
from benchmarks.gate.one_class import lost_classes
from benchmarks.gate.results.check import stored_answers
from benchmarks.gate.verdict import FAIL, Rule, reference_row
from benchmarks.stats import paired
from benchmarks.stats.need import NO_NEED
from benchmarks.stats.resample import Bootstrap, groups_of
from infer.system.log import logger

log = logger("benchmarks.gate")

OLDEST, BEFORE = 2, 3


def upgraded(results: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A result of an older version with the figures and verdicts of today.

    Args:
        results: as the file holds them.
        path: of the file.

    Raises:
        BenchmarkError: answers that contradict the labels. What is missing shows as a KeyError or
            the like.
    """
    given, reference = results["conditions"], results["reference"]
    bootstrap: Bootstrap = {
        "resamples": given["resamples"],
        "seed": given["seed"],
        "level": given["level"],
        "groups": groups_of(results["data"]),
    }
    labels, pairs = np.asarray(results["data"]["labels"]), len(results["pairs"])
    answers: dict[str, dict[str, Any]] = {model: {} for model in MODELS}
    for row in results["cells"]:
        for model, found in stored_answers(row, labels, pairs, path).items():
            answers[model][row["cell"]] = found
    judge = _anew if results["format_version"] == OLDEST else _with_lost_classes
    rows = judge(results, answers, labels, bootstrap)
    add_answer_figures(
        rows,
        {
            model: {key: correct_within(own) for key, own in cells.items()}
            for model, cells in answers.items()
        },
        reference=reference,
        labels=labels,
        bootstrap=bootstrap,
    )
    logits = _logits(results, path)
    if logits is not None:
        add_calibrations(rows, logits, reference=reference, labels=labels, bootstrap=bootstrap)
    return {**results, "cells": rows}


def _copied(row: Mapping[str, Any], **changed: Any) -> dict[str, Any]:
    """A row whose parts can be added to."""
    return {**row, **{model: dict(row[model]) for model in MODELS}, **changed}


def _anew(
    results: Mapping[str, Any],
    answers: Mapping[str, Mapping[str, Any]],
    labels: np.ndarray,
    bootstrap: Bootstrap,
) -> list[dict[str, Any]]:
    """Rows with verdicts by the rule of today."""
    reference, pairs = results["reference"], len(results["pairs"])
    rule = Rule(results["rule"]["keep"], results["rule"]["margin"], bootstrap["level"])
    whole = reference_row(results)

    def judged(row: Mapping[str, Any], pair: int | None) -> dict[str, Any]:
        part = slice(None) if pair is None else slice(pair, pair + 1)
        key, gain = row["cell"], (whole if pair is None else whole["pairs"][pair])["gain"]
        own = {
            model: {cell: answers[model][cell][part] for cell in (reference, key)}
            for model in MODELS
        }
        four = [correct_within(own[model][cell]) for cell in (reference, key) for model in MODELS]
        return cell_verdict(
            own, key, reference, labels, rule, paired.resampled(four, **bootstrap),
            gain_is_real=gain["distinguishable"] and gain["point"] > 0,
            same=row["verdict"].get("same_network", False), groups=bootstrap.get("groups"),
        )  # fmt: skip

    rows = []
    for row in results["cells"]:
        new = _copied(row, verdict=judged(row, None))
        if pairs > 1:
            new["pairs"] = [
                {**pair, "verdict": judged(row, number)["verdict"]}
                for number, pair in enumerate(row["pairs"])
            ]
        rows.append(new)
    return rows


def _with_lost_classes(
    results: Mapping[str, Any],
    answers: Mapping[str, Mapping[str, Any]],
    labels: np.ndarray,
    bootstrap: Bootstrap,
) -> list[dict[str, Any]]:
    """Rows whose verdicts know of classes that collapse."""
    rows = []
    for row in results["cells"]:
        new = _copied(row)
        if row["cell"] != results["reference"]:
            own = {
                model: [answers[model][cell] for cell in (results["reference"], row["cell"])]
                for model in MODELS
            }
            lost = lost_classes(own, labels, bootstrap.get("groups"))
            fails = {"verdict": FAIL, **NO_NEED} if lost else {}
            new["verdict"] = {**row["verdict"], **fails, "collapsed_classes": lost}
            of_pairs = {one["pair"] for one in lost}
            new["pairs"] = [
                {**pair, "verdict": FAIL} if "verdict" in pair and number in of_pairs else pair
                for number, pair in enumerate(row["pairs"])
            ]
        rows.append(new)
    return rows


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
