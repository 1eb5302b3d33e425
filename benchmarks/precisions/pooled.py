"""What the answers of several pairs say about each way of making INT8.

A loss is what INT8 costs against the fp32 graph. The student's loss minus the baseline's, over the
same seeds and clips, says whether distillation makes a network harder to quantise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks.stats import paired
from benchmarks.stats.evidence import Evidence, evidence, retained_share, widest
from benchmarks.stats.gains import gain_record
from benchmarks.study.pooled import ROLES
from train.config.schema.common import Split

SPLITS: tuple[Split, ...] = ("valid", "test")
REFERENCE = "fp32"
MUTUAL = {"mutual.int8": "qat.int8", "mutual.uint8": "qat.uint8"}
"""Fine-tunes with the run's other networks, and those by the network's own answers."""
METHODS = (
    *(REFERENCE, "ptq.int8", "ptq.uint8", "goal.int8", "goal.uint8", "qat.int8", "qat.uint8"),
    *MUTUAL,
)
MARGIN = 0.005
"""Largest loss against fp32 that INT8 may bring, as a share of the clips."""
KEEP = 0.9
"""Least share of the fp32 gain that must be left."""
NO_GAIN = "there is no clear gain to keep"
NO_PARTNER = "no partner"
OF_BOTH = ("baseline", "gain", "change", "share", "kept", "baseline_loss", "loss_difference")
"""Figures that need the method for baselines too."""


def pool_methods(
    runs: Sequence[Mapping[str, Any]], *, seeds: Sequence[int], bootstrap: paired.Bootstrap
) -> dict[str, Any]:
    """Loss, gain and share of the gain by method, over networks and test clips.

    A method that is lacking for one network, since it missed its goal there, is left out. Of a
    fine-tune with a partner, which a baseline has not, there are the figures of the students.

    Args:
        runs: with `role`, `seed`, `labels` and `methods`, see
            `benchmarks.precisions`.
        seeds: the pairs.
        bootstrap: settings of the resampling.
    """
    by_key = {(run["role"], run["seed"]): run for run in runs}

    def right(role: str, method: str) -> np.ndarray:
        """Right or wrong answers to the test clips, bool [seeds, clips]."""
        own = [by_key[role, seed] for seed in seeds]
        said = np.array([run["methods"][method]["test"]["predictions"] for run in own])
        return np.asarray(said == np.array([run["labels"]["test"] for run in own]))

    pooled: dict[str, Any] = {}
    exact = {role: right(role, REFERENCE) for role in ROLES}
    gain = gain_record(exact["baseline"], exact["student"], bootstrap)
    gain_is_real = gain["distinguishable"] and gain["point"] > 0
    for method in METHODS:
        whole = {r: all(method in by_key[r, seed]["methods"] for seed in seeds) for r in ROLES}
        if not whole["student"] or not (whole["baseline"] or method in MUTUAL):
            continue
        measured = [run for run in runs if whole[run["role"]]]
        student = right("student", method)
        row: dict[str, Any] = dict.fromkeys(OF_BOTH)
        if whole["baseline"]:
            baseline = right("baseline", method)
            four = [exact["baseline"], exact["student"], baseline, student]
            drawn = paired.resampled(four, **bootstrap)
            row |= _of_both(drawn, gain_is_real=gain_is_real)
            row["baseline"] = float(baseline.mean())
        drawn = paired.resampled([exact["student"], student], **bootstrap)
        row |= {
            "student": float(student.mean()),
            "student_change": _judged(evidence(drawn, [-1, 1], -MARGIN)),
            "agreement": _mean(measured, method, "test", "agreement"),
            "expected": {split: _mean(measured, method, split, "expected") for split in SPLITS},
            "counted": {split: _mean(measured, method, split, "loss") for split in SPLITS},
        }
        if method != REFERENCE:
            row["student_loss"] = widest(drawn, [1, -1]).to_dict()
        if method in MUTUAL and MUTUAL[method] in pooled:
            both = [right("student", MUTUAL[method]), student]
            row["over_self"] = _judged(evidence(paired.resampled(both, **bootstrap), [-1, 1], 0.0))
        pooled[method] = row
    return pooled


def _of_both(drawn: paired.Resampled, *, gain_is_real: bool) -> dict[str, Any]:
    """What is said of baselines and students together.

    Args:
        drawn: fp32 baseline, fp32 student, INT8 baseline, INT8 student.
        gain_is_real: whether the fp32 gain is clear.
    """
    kept = _judged(evidence(drawn, [KEEP, -KEEP, -1, 1], 0.0))
    share = retained_share(drawn) if gain_is_real else None
    return {
        "gain": drawn.contrast([0, 0, -1, 1]).to_dict(),
        "change": _judged(evidence(drawn, [-0.5, -0.5, 0.5, 0.5], -MARGIN)),
        "share": None if share is None else share.to_dict(),
        "kept": kept if gain_is_real else {**kept, "verdict": NO_GAIN},
        "baseline_loss": widest(drawn, [1, 0, -1, 0]).to_dict(),
        "loss_difference": _judged(evidence(drawn, [-1, 1, 1, -1], 0.0)),
    }


def _judged(found: Evidence) -> dict[str, Any]:
    lack = found.need.of if found.need is not None else "clips"
    word = "shown" if found.shown else "refuted" if found.refuted else f"not enough {lack} to tell"
    return {**found.interval.to_dict(), "limit": found.limit, "verdict": word}


def _mean(runs: Sequence[Mapping[str, Any]], method: str, split: str, key: str) -> float:
    return float(np.mean([run["methods"][method][split]["score"][key] for run in runs]))
