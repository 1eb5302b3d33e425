"""What a study says: the gain of every seed, pooled over seeds and clips, as JSON, CSV, Markdown.

The answers of every run are kept; all figures follow from them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.errors import BenchmarkError
from benchmarks.deployments.accuracy import Answers
from benchmarks.stats import paired
from benchmarks.stats.gains import over_pairs

ROLES = ("baseline", "student")


def pool_seeds(
    runs: Sequence[Mapping[str, Any]],
    *,
    seeds: Sequence[int],
    cells: Sequence[str],
    bootstrap: paired.Bootstrap,
) -> dict[str, Any]:
    """`per_seed` and `pooled` by cell, from runs of both roles for every seed.

    Args:
        runs: {"role": "baseline" | "student", "seed", "cells": {cell: {"predictions", "ranks"}}}.
        seeds: those to pool.
        cells: keys of `cells` to pool.
        bootstrap: settings of the resampling.
    """
    per_seed: dict[str, Any] = {}
    pooled: dict[str, Any] = {}
    for cell in cells:
        right = _right(runs, seeds, cell)
        per_seed[cell] = [
            _one_seed(seed, right["baseline"][row], right["student"][row], bootstrap)
            for row, seed in enumerate(seeds)
        ]
        found = over_pairs(right["baseline"], right["student"], bootstrap)
        pooled[cell] = {
            "baseline": float(right["baseline"].mean()),
            "student": float(right["student"].mean()),
            "crossed": found.crossed.to_dict(),
            "seeds": found.by_pairs.to_dict(),
            "seeds_gaining": found.gaining,
            "seeds_losing": found.losing,
            # One seed says nothing about others; then clips alone decide.
            "distinguishable": found.crossed.excludes_zero
            if len(seeds) > 1
            else per_seed[cell][0]["gain"]["distinguishable"],
            "distinguishable_by_seeds": found.by_pairs.excludes_zero,
        }
    return {"per_seed": per_seed, "pooled": pooled}


def by_class(
    runs: Sequence[Mapping[str, Any]],
    *,
    seeds: Sequence[int],
    cell: str,
    labels: Sequence[int],
    names: Sequence[str],
    bootstrap: paired.Bootstrap,
) -> list[dict[str, Any]]:
    """What either role has right of each class's clips, over all seeds, and the gain there.

    A class without test clips is left out.
    """
    right = _right(runs, seeds, cell)
    found = []
    for label, name in enumerate(names):
        of_it = np.asarray(labels) == label
        if of_it.any():
            baseline, student = (right[role][:, of_it] for role in ROLES)
            groups = bootstrap.get("groups")
            among = None if groups is None else groups.among(of_it)
            gain = over_pairs(baseline, student, {**bootstrap, "groups": among})
            found.append(
                {
                    "class": name,
                    "clips": int(of_it.sum()),
                    "baseline": float(baseline.mean()),
                    "student": float(student.mean()),
                    "gain": gain.crossed.to_dict(),
                    "seeds": gain.by_pairs.to_dict(),
                }
            )
    return found


def per_fold(study: Mapping[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """By cell, what each pair, that is seed and fold, has right of the clips that it tests."""
    fold = np.asarray(study["data"]["fold"])
    found: dict[str, list[dict[str, Any]]] = {}
    for cell in study["cells"]:
        found[cell] = []
        right = _right(study["runs"], study["seeds"], cell)
        for place, seed in enumerate(study["seeds"]):
            for number in sorted(set(fold.tolist())):
                shares = {role: float(right[role][place, fold == number].mean()) for role in ROLES}
                gain = shares["student"] - shares["baseline"]
                tested = int((fold == number).sum())
                row = {"seed": seed, "fold": number, "clips": tested, **shares, "gain": gain}
                found[cell].append(row)
    return found


def _right(
    runs: Sequence[Mapping[str, Any]], seeds: Sequence[int], cell: str
) -> dict[str, np.ndarray]:
    """What is right in a cell by role, bool [seeds, clips]."""
    by_key = {(run["role"], run["seed"]): run for run in runs}
    return {
        role: np.stack([correct_of_answers(by_key[role, seed]["cells"][cell]) for seed in seeds])
        for role in ROLES
    }


def correct_of_answers(answers: Mapping[str, Any]) -> np.ndarray:
    """Right or wrong from stored answers, bool [clips]."""
    return Answers(np.asarray(answers["predictions"]), np.asarray(answers["ranks"])).correct


def verify(study: Mapping[str, Any], path: Path) -> None:
    """Recompute every seed's accuracy and gain, and the pooled gain, from the stored answers."""
    labels = np.asarray(study["data"]["labels"])
    by_key = {(run["role"], run["seed"]): run for run in study["runs"]}
    for cell in study["cells"]:
        gains = []
        for row in study["per_seed"][cell]:
            right = {}
            for role in ROLES:
                stored = by_key[role, row["seed"]]["cells"][cell]
                right[role] = correct_of_answers(stored)
                if not np.array_equal(right[role], np.asarray(stored["predictions"]) == labels):
                    raise BenchmarkError(f"{path}: {role} {row['seed']}: ranks contradict answers")
                if abs(right[role].mean() - row[role]["point"]) > 1e-9:
                    raise BenchmarkError(
                        f"{path}: {role} of seed {row['seed']} in {cell}: the accuracy does not "
                        "follow from the stored answers"
                    )
            gains.append(right["student"].mean() - right["baseline"].mean())
            if abs(gains[-1] - row["gain"]["point"]) > 1e-9:
                raise BenchmarkError(f"{path}: seed {row['seed']}: the gain does not follow")
        if abs(np.mean(gains) - study["pooled"][cell]["crossed"]["point"]) > 1e-9:
            raise BenchmarkError(f"{path}: {cell}: the pooled gain does not follow from the seeds")
    for one in study.get("left_out", []):
        if not all(isinstance(one[key], str) for key in ("what", "reason")):
            raise BenchmarkError(f"{path}: what is left out, and why, are no texts")
    if "per_fold" in study and study["per_fold"] != per_fold(study):
        raise BenchmarkError(f"{path}: the folds' accuracies do not follow from the answers")
    total = sum(one["clips"] for one in study["by_class"])
    for role in ROLES:
        right = sum(one[role] * one["clips"] for one in study["by_class"]) / max(1, total)
        if abs(right - study["pooled"][study["cells"][0]][role]) > 1e-9:
            raise BenchmarkError(f"{path}: the {role} by class does not follow from the answers")


def as_csv(study: Mapping[str, Any]) -> str:
    """A line a seed and cell, and what makes the numbers comparable with others."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        ["seed", "cell", "clips", "baseline_top1", "student_top1", "gain", "low", "high",
         "mcnemar_p", "baseline_seconds", "student_seconds", "baseline_seconds_per_step",
         "student_seconds_per_step", "baseline_sha256", "student_sha256", "cpu", "cores",
         "paddlepaddle", "onnxruntime", "date"]
    )  # fmt: skip
    host = study["conditions"]["machine"]
    by_key = {(run["role"], run["seed"]): run for run in study["runs"]}
    for cell in study["cells"]:
        for row in study["per_seed"][cell]:
            both = [by_key[role, row["seed"]] for role in ROLES]
            gain = row["gain"]
            writer.writerow(
                [row["seed"], cell, gain["clips"],
                 *(f"{row[role]['point']:.6f}" for role in ROLES),
                 *(f"{gain[key]:.6f}" for key in ("point", "low", "high")), f"{gain['p']:.6g}",
                 *(f"{run['seconds']:.1f}" for run in both),
                 *(f"{run['seconds_per_step']:.4f}" for run in both),
                 *(run["checkpoint_sha256"] for run in both), host["cpu"], host["cores"],
                 host["packages"].get("paddlepaddle", ""),
                 host["packages"].get("onnxruntime", ""), study["created"]]
            )  # fmt: skip
    return file.getvalue()


def _one_seed(
    seed: int, baseline: np.ndarray, student: np.ndarray, bootstrap: paired.Bootstrap
) -> dict[str, Any]:
    level = bootstrap["level"]
    shares = {
        role: paired.wilson(int(right.sum()), len(right), level=level).to_dict()
        for role, right in zip(ROLES, (baseline, student), strict=True)
    }
    gain = paired.paired_difference(baseline, student, **bootstrap)
    return {"seed": seed, **shares, "gain": gain.to_dict()}
