"""Result files made of invented answers: what a benchmark would write, without a network."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks import stats
from benchmarks.accuracy import Answers, compare_cells
from benchmarks.controls import KINDS
from benchmarks.study_results import pool

CELLS = ("paddle:fp32", "onnxruntime:fp32", "onnxruntime:int8")
CLASSES = ["moves_right", "moves_left", "grows", "<b>shrinks</b> & turns", "x", "y"]

Results = dict[str, Any]


def invented_answers(labels: np.ndarray, right: np.ndarray) -> Answers:
    """Answers that are right where `right` says so, and the next class elsewhere."""
    wrong = (labels + 1) % len(CLASSES)
    ranks = np.where(right, 0, 1 + np.arange(len(labels)) % (len(CLASSES) - 1))
    return Answers(np.where(right, labels, wrong), ranks.astype(np.int64))


@pytest.fixture
def make_results() -> Callable[..., Results]:
    """`make_results(gain=0.04, int8_loss=0.01, clips=2000) -> dict` as a result file holds it."""

    def make(
        *,
        gain: float = 0.04,
        int8_loss: float = 0.01,
        clips: int = 2000,
        latency: bool = True,
        seed: int = 7,
    ) -> Results:
        rng = np.random.default_rng(seed)
        labels = np.arange(clips) % len(CLASSES)
        hard = rng.random(clips)
        base = hard < 0.80
        # The student is right wherever the baseline is, and on `gain` more.
        dml = hard < 0.80 + gain
        flipped = rng.random(clips) < int8_loss
        right = {
            "baseline": {CELLS[0]: base, CELLS[1]: base, CELLS[2]: base},
            "student": {CELLS[0]: dml, CELLS[1]: dml, CELLS[2]: dml & ~flipped},
        }
        answers = {
            model: {cell: invented_answers(labels, mask) for cell, mask in cells.items()}
            for model, cells in right.items()
        }
        rows = compare_cells(
            labels,
            len(CLASSES),
            answers,
            reference=CELLS[0],
            resamples=2000,
            seed=1,
        )
        for row in rows:
            for model in ("baseline", "student"):
                given = answers[model][row["cell"]]
                row[model] |= {
                    "max_logit_difference": 0.0 if row["cell"] == CELLS[0] else 3.2e-5,
                    "max_logit": 11.3,
                    "bytes": 400_000 if "int8" in row["cell"] else 1_500_000,
                    "predictions": given.predictions.tolist(),
                    "ranks": given.ranks.tolist(),
                }
        return {
            "format": "clipduet-benchmark",
            "format_version": 1,
            "created": "2030-01-02T03:04:05+00:00",
            "command": "python -m benchmarks --baseline bundles/baseline",
            "seconds": 321.0,
            "conditions": {
                "machine": {
                    "cpu": "Example(R) CPU <4 GHz>",
                    "architecture": "x86_64",
                    "cores": 2,
                    "cpu_features": ["avx2", "avx512_vnni"],
                    "memory_bytes": 16 * 2**30,
                    "system": "Example Linux 1",
                    "kernel": "6.1",
                    "python": "3.11.7",
                    "packages": {"numpy": "2.0.0", "onnxruntime": "1.20.0"},
                    "thread_variables": {},
                },
                "load_before": 0.3,
                "load_after": 1.9,
                "threads": 2,
                "timing_seconds": 60.0,
                "repetitions": 5,
                "batch_sizes": [1, 8],
                "resamples": 2000,
                "seed": 1,
                "level": 0.95,
            },
            "bundles": {
                model: {
                    "path": f"bundles/{model}",
                    "name": model,
                    "model": {"class_num": len(CLASSES)},
                    "origin": {"config": f"configs/{model}.yaml", "seed": 11},
                    "spec": {},
                }
                for model in ("baseline", "student")
            },
            "data": {
                "list": "data/motions/test.list",
                "sha256": "ab" * 32,
                "root": "data/motions",
                "listed": clips,
                "decoded": clips,
                "failed": [],
                "classes": CLASSES,
                "clip_shape": [8, 48, 48, 3],
                "labels": labels.tolist(),
            },
            "reference": CELLS[0],
            "cells": rows,
            "controls": [
                {"model": model, "control": kind, "top1": stats.wilson(60, 400).to_dict()}
                for model in ("baseline", "student")
                for kind in KINDS
            ],
            "latency": _latency() if latency else None,
        }

    return make


def _latency() -> Results:
    network = []
    for batch in (1, 8):
        for model in ("baseline", "student"):
            for cell, factor in zip(CELLS, (2.1, 1.0, 0.62), strict=True):
                p50 = 0.0031 * factor * batch**0.85
                network.append(
                    {
                        "model": model,
                        "cell": cell,
                        "batch": batch,
                        "calls": 250,
                        "repetitions": 5,
                        "p50": p50,
                        "p90": 1.1 * p50,
                        "p99": 1.5 * p50,
                        "p50_spread": [0.98 * p50, 1.03 * p50],
                        "clips_per_second": batch / p50,
                        "ratio": factor,
                        "ratio_spread": [0.97 * factor, 1.04 * factor],
                    }
                )
    stage = {"batch": 1, "calls": 100, "repetitions": 1, "p50": 0.004, "p90": 0.005, "p99": 0.009}
    return {
        "cores_of_others": 0.02,
        "network": network,
        "ratio_to": CELLS[1],
        "stages": {
            "read": stage,
            "preprocess": {**stage, "p50": 0.0002, "p90": 0.0003, "p99": 0.0004},
        },
    }


@pytest.fixture
def make_study() -> Callable[..., Results]:
    """`make_study(gains=(0.03, 0.04), clips=1000) -> dict` as a study's result file holds it."""

    def make(
        *,
        gains: tuple[float, ...] = (0.03, 0.025, 0.04, 0.02, 0.035),
        clips: int = 1000,
        cells: tuple[str, ...] = ("dynamic:fp32", "onnxruntime:int8"),
    ) -> Results:
        labels = np.arange(clips) % len(CLASSES)
        seeds = list(range(11, 11 + len(gains)))
        runs = []
        for seed, gain in zip(seeds, gains, strict=True):
            hard = np.random.default_rng(seed).random(clips)
            for role, share in (("baseline", 0.8), ("student", 0.8 + gain)):
                given = invented_answers(labels, hard < share)
                stored = {
                    "top1": float(given.correct.mean()),
                    "predictions": given.predictions.tolist(),
                    "ranks": given.ranks.tolist(),
                }
                runs.append(
                    {
                        "role": role,
                        "seed": seed,
                        "name": role,
                        "seconds": 100.0,
                        "steps": 500,
                        "seconds_per_step": 0.2,
                        "epochs": 3,
                        "best_epoch": 3,
                        "validation_top1": 0.8,
                        "checkpoint_sha256": "cd" * 32,
                        "cells": dict.fromkeys(cells, stored),
                    }
                )
        pooled = pool(
            runs, seeds=seeds, cells=cells, bootstrap={"resamples": 1000, "seed": 0, "level": 0.95}
        )
        return {
            "format": "clipduet-study",
            "format_version": 1,
            "created": "2030-02-03T04:05:06+00:00",
            "command": "python -m benchmarks.study",
            "conditions": {
                "machine": {
                    "cpu": "Example(R) CPU",
                    "cores": 2,
                    "cpu_features": [],
                    "memory_bytes": None,
                    "system": "Example Linux 1",
                    "kernel": "6.1",
                    "python": "3.11.7",
                    "packages": {"paddlepaddle": "3.3.1"},
                },
                "parallel": 2,
                "threads": 1,
                "checkpoint": "best",
                "resamples": 1000,
                "seed": 0,
                "level": 0.95,
            },
            "configs": {
                role: {
                    "name": role,
                    "path": f"configs/{role}.yaml",
                    "sha256": "ef" * 32,
                    "overrides": [],
                    "epochs": 3,
                }
                for role in ("baseline", "student")
            },
            "differences_besides_model": [],
            "data": {
                "list": "data/motions/test.list",
                "sha256": "ab" * 32,
                "listed": clips,
                "failed": [],
                "labels": labels.tolist(),
            },
            "seeds": seeds,
            "cells": list(cells),
            **pooled,
            "runs": runs,
        }

    return make
