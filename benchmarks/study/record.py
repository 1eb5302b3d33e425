"""The result of a study as its file holds it, from what every run answered."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from benchmarks.common import machine
from benchmarks.common.result_file import header
from benchmarks.deployments.deployment import Deployment, SkippedDeployment
from benchmarks.stats.options import bootstrap_of
from benchmarks.stats.resample import Bootstrap, Groups
from benchmarks.study.experiments import Experiment
from benchmarks.study.measure import DYNAMIC
from benchmarks.study.pooled import by_class, pool_seeds
from benchmarks.study.result_file import FORMAT, FORMAT_VERSION
from infer.system.files import sha256_of


def study_record(
    options: argparse.Namespace,
    experiments: Sequence[Experiment],
    runs: Sequence[Mapping[str, Any]],
    data: Mapping[str, Any],
    cells: Sequence[Deployment],
    left_out: Sequence[SkippedDeployment],
    *,
    groups: Groups | None = None,
) -> dict[str, Any]:
    """Pool the runs; JSON-ready.

    Args:
        options: of the command.
        experiments: the two configs.
        runs: what each answered and cost, with its `role`, `seed` and `failed` clips.
        data: the test clips, with their `labels`.
        cells: where all runs answered.
        left_out: what is not measured, and why.
        groups: of clips that are drawn together.
    """
    from train.config.schema.before import Training

    settings = bootstrap_of(options)
    bootstrap: Bootstrap = {**settings, "groups": groups}
    keys = [cell.key for cell in cells]
    pooled = pool_seeds(runs, seeds=options.seeds, cells=keys, bootstrap=bootstrap)
    return {
        **header(FORMAT, FORMAT_VERSION),
        "conditions": {
            "machine": machine.machine(),
            "threads": options.threads,
            "checkpoint": options.checkpoint,
            "reduce_range": options.reduce_range,
            **settings,
        },
        "configs": {
            one.role: {
                "name": one.name,
                "path": str(one.path),
                "sha256": one.cfg.sha256(),
                "overrides": options.override,
                "epochs": one.cfg.epochs,
                # What a run trains before it starts, such as a teacher.
                "before": {
                    name: block.train
                    for name, block in one.cfg.BEFORE.items()
                    if isinstance(block, Training) and one.cfg.ready(name) is None
                },
                # What all runs start from, such as a teacher that is trained already.
                "ready": {
                    name: {"file": block.ready, "sha256": sha256_of(file)}
                    for name, block in one.cfg.BEFORE.items()
                    if isinstance(block, Training) and (file := one.cfg.ready(name)) is not None
                },
            }
            for one in experiments
        },
        "differences_besides_model": setting_differences(
            experiments[0].cfg.to_dict(), experiments[1].cfg.to_dict()
        ),
        "data": {**data, "failed": sorted({path for one in runs for path in one["failed"]})},
        "seeds": options.seeds,
        "cells": keys,
        "left_out": [asdict(one) for one in left_out],
        **pooled,
        "by_class": by_class(
            runs,
            seeds=options.seeds,
            cell=DYNAMIC.key,
            labels=data["labels"],
            names=experiments[0].cfg.class_names,
            bootstrap=bootstrap,
        ),
        "runs": [_run_record(run, keys) for run in runs],
    }


def _run_record(run: Mapping[str, Any], cells: Sequence[str]) -> dict[str, Any]:
    record = {key: value for key, value in run.items() if key not in ("failed", "refused")}
    return {**record, "cells": {cell: run["cells"][cell] for cell in cells}}


def setting_differences(
    one: Mapping[str, Any], other: Mapping[str, Any], where: str = ""
) -> list[str]:
    """Settings besides MODEL and the names of runs that two configs do not share."""
    found = []
    for key in sorted({*one, *other}):
        path = f"{where}{key}"
        if path in ("MODEL", "BEFORE", "output_dir", "model_name", "seed"):
            continue
        a, b = one.get(key), other.get(key)
        if isinstance(a, Mapping) and isinstance(b, Mapping):
            found += setting_differences(a, b, f"{path}.")
        elif a != b:
            found.append(f"{path}: {a} and {b}")
    return found
