"""What the answers of several pairs say about each way of making INT8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.stats import paired
from benchmarks.stats.evidence import Evidence, evidence
from benchmarks.study.pooled import ROLES
from train.config.schema.common import Split

SPLITS: tuple[Split, ...] = ("valid", "test")
REFERENCE = "fp32"
METHODS = (REFERENCE, "ptq.int8", "ptq.uint8", "goal.int8", "goal.uint8", "qat.int8", "qat.uint8")
MARGIN = 0.005
"""Largest loss against fp32 that INT8 may bring, as a share of the clips."""
KEEP = 0.9
"""Least share of the fp32 gain that must be left."""
NO_GAIN = "there is no clear gain to keep"


def pool_methods(
    runs: Sequence[Mapping[str, Any]], *, seeds: Sequence[int], bootstrap: paired.Bootstrap
) -> dict[str, Any]:
    """Loss, gain and share of the gain by method, over networks and test clips.

    A method that is lacking for one network, since it missed its goal there, is left out.

    Args:
        runs: with `role`, `seed`, `labels` and `methods`, see
            `benchmarks.precisions`.
        seeds: the pairs.
        bootstrap: settings of the resampling.
    """
    by_key = {(run["role"], run["seed"]): run for run in runs}

    def right(role: str, method: str) -> np.ndarray:
        return np.stack([correct_of_method(by_key[role, seed], method) for seed in seeds])

    pooled: dict[str, Any] = {}
    exact = {role: right(role, REFERENCE) for role in ROLES}
    whole = paired.resampled(list(exact.values()), **bootstrap).contrast([-1, 1])
    gain_is_real = whole.low > 0
    for method in METHODS:
        if any(method not in run["methods"] for run in runs):
            continue
        here = {role: right(role, method) for role in ROLES}
        four = [exact["baseline"], exact["student"], here["baseline"], here["student"]]
        drawn = paired.resampled(four, **bootstrap)
        change = evidence(drawn, [-0.5, -0.5, 0.5, 0.5], -MARGIN)
        student = evidence(drawn, [0, -1, 0, 1], -MARGIN)
        kept = evidence(drawn, [KEEP, -KEEP, -1, 1], 0.0)
        share = drawn.ratio([0, 0, -1, 1], [-1, 1, 0, 0])
        pooled[method] = {
            **{role: float(here[role].mean()) for role in ROLES},
            "gain": drawn.contrast([0, 0, -1, 1]).to_dict(),
            "change": _judged(change),
            "student_change": _judged(student),
            "share": None if share is None else share.to_dict(),
            "kept": _judged(kept) if gain_is_real else {**_judged(kept), "verdict": NO_GAIN},
            "agreement": _mean(runs, method, "test", "agreement"),
            "expected": {split: _mean(runs, method, split, "expected") for split in SPLITS},
            "counted": {split: _mean(runs, method, split, "loss") for split in SPLITS},
        }
    return pooled


def correct_of_method(run: Mapping[str, Any], method: str, split: str = "test") -> np.ndarray:
    """Right or wrong answers of one network, bool [clips]."""
    labels = np.asarray(run["labels"][split])
    answers = np.asarray(run["methods"][method][split]["predictions"])
    return np.asarray(answers == labels)


def _judged(found: Evidence) -> dict[str, Any]:
    lack = found.need.of if found.need is not None else "clips"
    word = "shown" if found.shown else "refuted" if found.refuted else f"not enough {lack} to tell"
    return {**found.interval.to_dict(), "limit": found.limit, "verdict": word}


def _mean(runs: Sequence[Mapping[str, Any]], method: str, split: str, key: str) -> float:
    return float(np.mean([run["methods"][method][split]["score"][key] for run in runs]))
