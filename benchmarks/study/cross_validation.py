"""`--folds K`: every clip of a set is a test clip once, of networks that never saw its group.

A pair of baseline and student is trained for each seed and fold. The answers of a seed's folds are
put together in the order of the set, so that a seed has one answer for every clip, as it has where
there is a test list; gains are then pooled over seeds and clips, whole groups of clips drawn
together.
"""

from __future__ import annotations

import argparse
import hashlib
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import shown_path
from benchmarks.deployments.accuracy import FAILED, macro_f1
from benchmarks.deployments.deployment import Deployment
from benchmarks.deployments.logits import Logits, logits_key
from benchmarks.stats.resample import Groups
from benchmarks.study.experiments import Experiment
from benchmarks.study.jobs import add_jobs, needed
from benchmarks.study.measure import common_cells, measure_run, seconds_of
from benchmarks.study.pooled import per_fold
from benchmarks.study.record import study_record
from benchmarks.training.runs import CHECKPOINTS, Job, train_all
from infer.system.files import sha256_of
from infer.system.log import logger

if TYPE_CHECKING:
    from train.data.fold_lists import FoldLists

log = logger("benchmarks.study")

Measured = tuple[dict[str, Any], dict[str, np.ndarray]]


def run_folds(
    options: argparse.Namespace, experiments: Sequence[Experiment], cells: Sequence[Deployment]
) -> tuple[dict[str, Any], Logits]:
    """Split into folds, train every seed and fold, evaluate, pool; the result and all logits."""
    from train.data.fingerprint import fingerprint

    lists = _lists(options, experiments)
    clips = lists.record["clips"]
    log.info(
        f"{len(clips['paths'])} clips of {len(set(clips['groups']))} groups "
        f"(groups: {lists.record['groups']}) in {lists.number} folds: {lists.file}"
    )
    jobs: dict[str, Job] = {}
    finals = {
        (one.role, seed, fold): add_jobs(
            jobs,
            one.path,
            seed,
            runs=options.runs / str(fold),
            overrides=(*options.override, *lists.overrides(fold)),
            tag=f"fold{fold}",
        )
        for seed in options.seeds
        for fold in range(1, lists.number + 1)
        for one in experiments
    }
    train_all(list(jobs.values()), parallel=options.parallel, threads=options.threads)
    found = _measure(options, experiments, cells, lists, finals, jobs)
    cells, left_out = common_cells(cells, [record for record, _ in found.values()])
    keys = [cell.key for cell in cells]
    runs = []
    logits: dict[str, np.ndarray] = {}
    for seed in options.seeds:
        for one in experiments:
            parts = {f: found[one.role, seed, f] for f in range(1, lists.number + 1)}
            run, computed = _joined(one, parts, lists, keys)
            runs.append({"role": one.role, "seed": seed, **run})
            logits |= {logits_key(one.role, seed, cell): table for cell, table in computed.items()}
    data = {
        "list": str(lists.file),
        "sha256": sha256_of(lists.file),
        "clips_sha256": fingerprint(lists.samples()),
        "listed": len(clips["paths"]),
        "labels": clips["labels"],
        "paths": clips["paths"],
        "groups": clips["groups"],
        "fold": clips["fold"],
    }
    study = study_record(
        options, experiments, runs, data, cells, left_out, groups=Groups.of(clips["groups"])
    )
    own = {
        key: lists.record[key]
        for key in ("seed", "val_share", "groups", "lists", "near_duplicates")
    }
    study["folds"] = {"number": lists.number, **own}
    study["per_fold"] = per_fold(study)
    return study, logits


def _lists(options: argparse.Namespace, experiments: Sequence[Experiment]) -> FoldLists:
    from train.config.schema.before import Training
    from train.data.clip_set import clip_set, clips_of_config
    from train.data.fold_lists import write_folds
    from train.data.lists import read_list

    for one in experiments:
        if not all(isinstance(block, Training) for block in one.cfg.BEFORE.values()):
            raise BenchmarkError(
                f"{one.path}: BEFORE labels clips, among which would be those that a fold tests; "
                "folds take configs that only train something before"
            )
    cfg = experiments[0].cfg
    if options.data is None:
        clips = clips_of_config(cfg)
    else:
        given = read_list(options.data, root=options.root, num_classes=cfg.class_num)
        root = options.root if options.root is not None else Path()
        clips = clip_set(given, root, "VideoDataset", "", options.data)
    return write_folds(
        options.runs,
        clips,
        folds=options.folds,
        seed=options.fold_seed,
        groups=options.groups,
        join_duplicates=options.join_duplicates,
    )


def _measure(
    options: argparse.Namespace,
    experiments: Sequence[Experiment],
    cells: Sequence[Deployment],
    lists: FoldLists,
    finals: Mapping[tuple[str, int, int], Job],
    jobs: Mapping[str, Job],
) -> dict[tuple[str, int, int], Measured]:
    """What each run answers to the clips of its fold."""
    from train.config.load import load_config
    from train.data.splits import build_dataset

    paths = {one.role: one.path for one in experiments}
    folds = range(1, lists.number + 1)
    configs = {
        (role, fold): load_config(path, [*options.override, *lists.overrides(fold)])
        for role, path in paths.items()
        for fold in folds
    }
    # Decoded once for both configs, which see the same pixels.
    datasets = {fold: build_dataset(configs[experiments[0].role, fold], "test") for fold in folds}
    found = {}
    for number, ((role, seed, fold), job) in enumerate(finals.items(), start=1):
        started = time.monotonic()
        record, logits = measure_run(
            job,
            configs[role, fold],
            datasets[fold],
            cells,
            checkpoint=job.folder / CHECKPOINTS[options.checkpoint],
            list_sha256=sha256_of(lists.list_file(fold, "test")),
            threads=options.threads,
            reduce_range=options.reduce_range,
        )
        before = (one.folder / CHECKPOINTS["last"] for one in needed(job, jobs))
        record["seconds_before"] = sum(map(seconds_of, before))
        record["failed"] = [shown_path(path, lists.root) for path in record["failed"]]
        found[role, seed, fold] = record, logits
        spent = time.monotonic() - started
        log.info(f"{number}/{len(finals)} evaluated: {job.label}, {spent:.0f} s")
    return found


def _joined(
    one: Experiment, parts: Mapping[int, Measured], lists: FoldLists, keys: Sequence[str]
) -> Measured:
    """The runs of a seed's folds as one run over all clips, and by cell its logits."""
    labels = np.asarray(lists.record["clips"]["labels"])
    records = {fold: record for fold, (record, _) in parts.items()}
    cells: dict[str, Any] = {}
    logits: dict[str, np.ndarray] = {}
    for cell in keys:
        answers = {name: np.full(len(labels), FAILED) for name in ("predictions", "ranks")}
        width = next(iter(parts.values()))[1][cell].shape[1]
        logits[cell] = np.full((len(labels), width), np.nan, np.float32)
        for fold, (record, computed) in parts.items():
            tested = lists.tested(fold)
            logits[cell][tested] = computed[cell]
            for name, table in answers.items():
                table[tested] = record["cells"][cell][name]
        cells[cell] = {
            "top1": float((answers["predictions"] == labels).mean()),
            "macro_f1": macro_f1(answers["predictions"], labels, width),
            **{name: table.tolist() for name, table in answers.items()},
        }
    every = list(records.values())
    steps = sum(record["steps"] for record in every)
    ways = {tuple(sorted(way.items())) for record in every for way in record["side_by_side"]}
    checkpoints = "\n".join(record["checkpoint_sha256"] for record in every)
    run = {
        "name": one.name,
        **{key: sum(r[key] for r in every) for key in ("seconds", "seconds_before", "steps")},
        "seconds_per_step": sum(r["seconds_per_step"] * r["steps"] for r in every) / max(1, steps),
        "epochs": max(record["epochs"] for record in every),
        "validation_top1": float(np.mean([record["validation_top1"] for record in every])),
        "skipped_clips": sum(record["skipped_clips"] for record in every),
        "side_by_side": [dict(way) for way in sorted(ways)],
        "peak_memory": max(record["peak_memory"] for record in every),
        # Of the folds' checkpoints, which stand below.
        "checkpoint_sha256": hashlib.sha256(checkpoints.encode()).hexdigest(),
        "folds": [
            {
                "fold": fold,
                **{
                    key: record[key]
                    for key in (
                        "checkpoint_sha256", "seconds", "seconds_before", "steps", "epochs",
                        "best_epoch", "validation_top1",
                    )
                },
            }
            for fold, record in records.items()
        ],
        "failed": sorted({path for record in every for path in record["failed"]}),
        "cells": cells,
    }  # fmt: skip
    return run, logits
