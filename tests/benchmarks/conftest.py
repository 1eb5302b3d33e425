"""Result files made of invented answers: what a benchmark would write, without a network."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks.deployments import deployment
from benchmarks.deployments.accuracy import Answers
from benchmarks.deployments.controls import KINDS
from benchmarks.gate.compare import compare_cells
from benchmarks.gate.results.result_file import FORMAT_VERSION
from benchmarks.gate.verdict import Rule
from benchmarks.stats import paired
from benchmarks.study.pooled import by_class, pool_seeds
from infer.runtimes.registry import BACKENDS
from infer.runtimes.status import Status
from tests.benchmarks.tiny import PAIR, STUDENT
from tests.commands_here import run_here

CELLS = ("paddle:fp32", "onnxruntime:fp32", "onnxruntime:int8")
SPEED = {"paddle": 2.1, "onnxruntime": 1.0, "openvino": 1.15}
RELATIVE = {"fp32": 1.0, "bf16": 0.63, "fp16": 1.7, "int8": 0.58}
CLASSES = ["moves_right", "moves_left", "grows", "<b>shrinks</b> & turns", "x", "y"]
MODELS = ("baseline", "student")

Results = dict[str, Any]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backends are not tried anew in every test: that imports each of them."""
    known = [Status(name, name == "onnxruntime", "not tried") for name in BACKENDS]
    monkeypatch.setattr(
        deployment, "statuses", lambda names: [s for s in known if s.backend in names]
    )


@pytest.fixture
def trains_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trainings and exports of a study run in this process."""
    run_here(monkeypatch)


def invented_answers(labels: np.ndarray, right: np.ndarray) -> Answers:
    """Answers that are right where `right` says so, and the next class elsewhere."""
    wrong = (labels + 1) % len(CLASSES)
    ranks = np.where(right, 0, 1 + np.arange(len(labels)) % (len(CLASSES) - 1))
    return Answers(np.where(right, labels, wrong), ranks.astype(np.int64))


def invented_pair(
    rng: np.random.Generator,
    clips: int,
    cells: Sequence[str],
    gain: float,
    int8_loss: float,
    baseline_wins: float = 0.0,
) -> dict[str, dict[str, np.ndarray]]:
    """Which clips each model gets right in each cell; only int8 and bf16 change any."""
    hard = rng.random(clips)
    # The student is right wherever the baseline is, and on `gain` more.
    whole = {"baseline": hard < 0.80, "student": hard < 0.80 + gain}
    right: dict[str, dict[str, np.ndarray]] = {model: {} for model in MODELS}
    for cell in cells:
        lost = {"int8": int8_loss, "bf16": 0.25 * int8_loss}.get(cell.partition(":")[2], 0.0)
        wins = baseline_wins if cell.endswith("int8") else 0.0
        right["baseline"][cell] = hard < 0.80 + wins
        right["student"][cell] = whole["student"] & ~(rng.random(clips) < lost)
    return right


@functools.cache
def _compared(
    gain: float,
    int8_loss: float,
    clips: int,
    seed: int,
    pairs: int,
    cells: tuple[str, ...],
    baseline_wins: float,
) -> list[dict[str, Any]]:
    """Rows of the cells; resampled once for all tests of the same figures."""
    rng = np.random.default_rng(seed)
    labels = np.arange(clips) % len(CLASSES)
    right = [invented_pair(rng, clips, cells, gain, int8_loss, baseline_wins) for _ in range(pairs)]
    return compare_cells(
        labels,
        len(CLASSES),
        {
            model: {
                cell: [invented_answers(labels, one[model][cell]) for one in right]
                for cell in cells
            }
            for model in MODELS
        },
        reference=cells[0],
        rule=Rule(),
        bootstrap={"resamples": 2000, "seed": 1, "level": 0.95},
        same=[cell for cell in cells[1:] if cell.endswith("fp32")],
    )


@pytest.fixture
def make_results() -> Callable[..., Results]:
    """`make_results(gain=0.04, int8_loss=0.01, clips=2000) -> dict` as a result file holds it."""

    def make(
        *,
        gain: float = 0.04,
        int8_loss: float = 0.01,
        clips: int = 2000,
        speed: bool = True,
        seed: int = 7,
        pairs: int = 1,
        cells: Sequence[str] = CELLS,
        baseline_wins: float = 0.0,
    ) -> Results:
        labels = np.arange(clips) % len(CLASSES)
        asked = gain, int8_loss, clips, seed, pairs, tuple(cells), baseline_wins
        rows = copy.deepcopy(_compared(*asked))
        for row in rows:
            for model in MODELS:
                row[model] |= {
                    "max_logit_difference": 0.0 if row["cell"] == cells[0] else 3.2e-5,
                    "max_logit": 11.3,
                    "artifact": "onnx." + row["cell"].partition(":")[2],
                    "bytes": 400_000 if "int8" in row["cell"] else 1_500_000,
                }
        return {
            "format": "clipduet-benchmark",
            "format_version": FORMAT_VERSION,
            "created": "2030-01-02T03:04:05+00:00",
            "command": "python -m benchmarks.gain --baseline bundles/baseline",
            "seconds": 321.0,
            "rule": {"keep": 0.8, "margin": 0.005, "strict": False},
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
                "batch": 8,
                "resamples": 2000,
                "seed": 1,
                "level": 0.95,
            },
            "pairs": [
                {
                    model: {
                        "path": f"bundles/{model}",
                        "name": model,
                        "model": {"class_num": len(CLASSES)},
                        "origin": {"config": f"configs/{model}.yaml", "seed": 11 + pair},
                        "spec": {},
                    }
                    for model in MODELS
                }
                for pair in range(pairs)
            ],
            "data": {
                "list": "data/motions/test.list",
                "sha256": "ab" * 32,
                "clips_sha256": "ba" * 32,
                "root": "data/motions",
                "listed": clips,
                "decoded": clips,
                "failed": [],
                "classes": CLASSES,
                "clip_shape": [8, 48, 48, 3],
                "labels": labels.tolist(),
            },
            "reference": cells[0],
            "reference_instead_of": None,
            "left_out": [{"what": "tensorrt", "reason": "no NVIDIA driver here"}],
            "broken": [],
            "cells": rows,
            "controls": [
                {"model": model, "control": kind, "top1": paired.wilson(60, 400).to_dict()}
                for model in MODELS
                for kind in KINDS
            ],
            "speed": _speed(cells) if speed else None,
        }

    return make


def _summary(p50: float, batch: int = 1, ratio: float = 1.0) -> Results:
    return {
        "batch": batch,
        "calls": 250,
        "repetitions": 5,
        "p50": p50,
        "p90": 1.1 * p50,
        "p99": 1.5 * p50,
        "p50_spread": [0.98 * p50, 1.03 * p50],
        "clips_per_second": batch / p50,
        "ratio": ratio,
        "ratio_spread": [0.97 * ratio, 1.04 * ratio],
    }


def _speed(cells: Sequence[str]) -> Results:
    rows = []
    for cell in cells:
        backend, _, precision = cell.partition(":")
        factor = SPEED[backend] * RELATIVE[precision]
        parts = {"read": 0.004, "preprocess": 0.0007, "network": 0.0071 * factor, "rank": 0.0001}
        stages = {name: _summary(seconds) for name, seconds in parts.items()}
        stages["network"] = _summary(parts["network"], ratio=factor)
        stages["total"] = _summary(sum(parts.values()))
        rows.append(
            {
                "cell": cell,
                "stages": stages,
                "throughput": _summary(0.031 * factor, batch=8, ratio=factor),
            }
        )
    return {
        "cores_of_others": 0.02,
        "ratio_to": "onnxruntime:fp32",
        "clips": 100,
        "cells": rows,
        "memory": [
            {"cell": cells[0], "bytes": None, "reason": "this system does not tell"},
            *({"cell": cell, "bytes": 61_000_000, "before": 93_000_000} for cell in cells[1:]),
        ],
    }


@pytest.fixture
def make_study() -> Callable[..., Results]:
    """`make_study(gains=(0.03, 0.04), clips=1000) -> dict` as a study's result file holds it."""

    def make(
        *,
        gains: tuple[float, ...] = (0.03, 0.025, 0.04, 0.02, 0.035),
        clips: int = 1000,
        cells: tuple[str, ...] = ("dynamic:fp32", "onnxruntime:int8"),
        seeds: Sequence[int] | None = None,
    ) -> Results:
        labels = np.arange(clips) % len(CLASSES)
        seeds = list(range(11, 11 + len(gains)) if seeds is None else seeds)
        gains = gains[: len(seeds)]
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
                        "seconds_before": 7.0 if role == "student" else 0.0,
                        "side_by_side": [{"parallel": 2, "threads": 1}],
                        "checkpoint_sha256": "cd" * 32,
                        "cells": dict.fromkeys(cells, stored),
                    }
                )
        bootstrap: paired.Bootstrap = {"resamples": 1000, "seed": 0, "level": 0.95}
        pooled = pool_seeds(runs, seeds=seeds, cells=cells, bootstrap=bootstrap)
        classes = by_class(
            runs, seeds=seeds, cell=cells[0], labels=labels.tolist(), names=CLASSES,
            bootstrap=bootstrap,
        )  # fmt: skip
        return {
            "format": "clipduet-study",
            "format_version": 3,
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
                    "before": {"TEACHER": "motions_teacher.yaml"} if role == "student" else {},
                }
                for role in ("baseline", "student")
            },
            "differences_besides_model": [],
            "data": {
                "list": "data/motions/test.list",
                "sha256": "ab" * 32,
                "clips_sha256": "ba" * 32,
                "listed": clips,
                "failed": [],
                "labels": labels.tolist(),
            },
            "seeds": seeds,
            "cells": list(cells),
            **pooled,
            "by_class": classes,
            "runs": runs,
        }

    return make


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """A folder with three lists of nine clips of three colours, and the configs of a study."""
    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    lines = []
    for index in range(27):
        frames = rng.integers(0, 120, (5, 32, 32, 3), dtype=np.uint8)
        frames[..., index % 3] += 120
        write_clip(folder / f"{index}.mp4", frames)
        lines.append(f"{index}.mp4 {index % 3}")
    for place, split in enumerate(("train", "val", "test")):
        (folder / f"{split}.list").write_text("\n".join(lines[9 * place : 9 * place + 9]))

    def pipeline(crop: str) -> dict[str, Any]:
        return {
            "decode": {"name": "VideoDecoder"},
            "sample": {"num_seg": 4, "valid_mode": crop == "CenterCrop"},
            "transform": [
                {"Scale": {"short_size": 32, "fixed_ratio": False}},
                {crop: {"target_size": 32}},
                {"Image2Array": None},
                {"Normalization": {"mean": [0.5] * 3, "std": [0.25] * 3}},
            ],
        }

    def split(name: str) -> dict[str, str]:
        return {"format": "VideoDataset", "file_path": f"{name}.list"}

    for name, model in (("one", {"framework": "Recognizer2D", **STUDENT}), ("two", PAIR)):
        config = {
            "MODEL": model,
            "DATASET": {
                "root": str(folder), "batch_size": 3, "num_workers": 0, "train": split("train"),
                "valid": split("val"), "test": split("test"),
            },
            "PIPELINE": {"train": pipeline("RandomCrop"), "valid": pipeline("CenterCrop")},
            "OPTIMIZER": {
                "name": "AdamW",
                "learning_rate": {"name": "Constant", "learning_rate": 0.001},
            },
            "epochs": 1,
        }  # fmt: skip
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return folder
