"""Result files of format version 2: their verdicts were made by another rule and are made anew.

Version 2 left out what is kept of the gain where the gain was not significant, so that the change
of the student alone decided, and looked for models that answer one class only where the reference
did not. The answers are all there, so that only the verdicts have to be computed again. What was
resampled besides stays as it was stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.deployments.accuracy import MODELS
from benchmarks.gate.check import stored_answers
from benchmarks.gate.deployment_verdict import cell_verdict, correct_within
from benchmarks.gate.verdict import Rule
from benchmarks.stats import paired
from benchmarks.stats.resample import Bootstrap

OLD_VERSION = 2


def with_new_verdicts(results: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """A result of `OLD_VERSION` with the verdicts of today.

    Raises:
        BenchmarkError: answers that contradict the labels. What is missing shows as a KeyError or
            the like.
    """
    given, reference = results["conditions"], results["reference"]
    rule = Rule(results["rule"]["keep"], results["rule"]["margin"], given["level"])
    bootstrap: Bootstrap = {
        "resamples": given["resamples"],
        "seed": given["seed"],
        "level": given["level"],
    }
    labels, pairs = np.asarray(results["data"]["labels"]), len(results["pairs"])
    answers: dict[str, dict[str, Any]] = {model: {} for model in MODELS}
    for row in results["cells"]:
        for model, found in stored_answers(row, labels, pairs, path).items():
            answers[model][row["cell"]] = found
    whole = next(row for row in results["cells"] if row["cell"] == reference)

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
            same=row["verdict"].get("same_network", False),
        )  # fmt: skip

    rows = []
    for row in results["cells"]:
        new = {**row, "verdict": judged(row, None)}
        if pairs > 1:
            new["pairs"] = [
                {**pair, "verdict": judged(row, number)["verdict"]}
                for number, pair in enumerate(row["pairs"])
            ]
        rows.append(new)
    return {**results, "cells": rows}
