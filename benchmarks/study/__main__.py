"""`python -m benchmarks.study`: what DML brings, over several seeds, on the untouched test list.

For every seed the baseline and the pair are trained (same first weights, same batches), their
checkpoints evaluated in Paddle and after export, and the gains pooled over seeds and clips.
Stopped at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import importlib.util
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import EXTRA
from benchmarks.common import machine
from benchmarks.common.command import RESAMPLES, add_out, take_signals
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import dump, header
from benchmarks.deployments.logits import Logits, logits_key, shown_paths, write_logits
from benchmarks.pages.markdown import markdown
from benchmarks.pages.parts import measured
from benchmarks.stats.options import add_resampling, bootstrap_of
from benchmarks.study.jobs import add_pair, named_configs
from benchmarks.study.measure import DYNAMIC, EXPORTED, measure_run
from benchmarks.study.pooled import ROLES, as_csv, by_class, pool_seeds
from benchmarks.study.result_file import FORMAT, FORMAT_VERSION
from benchmarks.study.sections import study_section
from benchmarks.study.sentences import study_sentence
from benchmarks.training.runs import CHECKPOINTS, Job, add_trainings, check_environment, train_all
from export.option_limits import SEED, THREADS, folder_problems, number_problems, refuse
from infer.command.runner import command, run_and_exit
from infer.system.files import sha256_of, write_text
from infer.system.log import logger

if TYPE_CHECKING:
    import numpy as np

    from train.config.load import Config
    from train.data.dataset import ClipDataset

log = logger("benchmarks.study")

NUMBERS = {"parallel": THREADS, "threads": THREADS, "resamples": RESAMPLES,
           "bootstrap_seed": SEED, "seeds": SEED}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """One of the two configs of a study."""

    role: str
    name: str
    path: Path
    cfg: Config


@command(stopped="the same command goes on from the last checkpoints", extra=EXTRA)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 a training failed, 2 wrong use."""
    options = _parser().parse_args(arguments)
    take_signals()
    study, logits = run(options)
    write_study(study, options.out, logits=logits)
    sentences = [study_sentence(study, cell) for cell in study["cells"]]
    for line in [
        *sentences,
        f"written: {options.out}/results.json, logits.npz, results.csv, report.md",
    ]:
        print(line)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.study",
        description="Train baseline and DML pair over seeds and measure the gain on the test list.",
    )
    add = parser.add_argument
    add_pair(parser)
    add("--data", type=Path, help="test list (default: DATASET.test of the config)")
    add("--root", type=Path, help="folder that the list's paths start from (with --data)")
    add_out(parser, "reports/study")
    add("--runs", type=Path, default=Path("runs/study"), help="default: %(default)s")
    add("--export", action=argparse.BooleanOptionalAction, default=None,
        help="measure after export as well (default: yes, where it can be)")  # fmt: skip
    add_trainings(parser)
    add_resampling(parser)
    return parser


def run(options: argparse.Namespace) -> tuple[dict[str, Any], Logits]:
    """Train, evaluate, pool; the result, JSON-ready, and all logits."""
    from train.config.schema.before import Training
    from train.data.fingerprint import fingerprint

    experiments = _experiments(options)
    dataset = _test_set(experiments, options)
    list_sha256 = sha256_of(_list_file(experiments[0].cfg, options))
    names = experiments[0].cfg.class_names
    if options.export is None:
        options.export = _can_export()
        if not options.export:
            log.warning("the export tools are not installed: measuring in Paddle only")
    cells = [DYNAMIC, *(EXPORTED if options.export else ())]
    jobs = {
        (one.role, seed): Job(
            one.name, one.path, seed, options.runs / f"{one.name}-{seed}", tuple(options.override)
        )
        for seed in options.seeds
        for one in experiments
    }
    train_all(list(jobs.values()), parallel=options.parallel, threads=options.threads)
    runs = []
    logits: dict[str, np.ndarray] = {}
    for number, ((role, seed), job) in enumerate(jobs.items(), start=1):
        cfg = next(one.cfg for one in experiments if one.role == role)
        started = time.monotonic()
        found, computed = measure_run(
            job,
            cfg,
            dataset,
            cells,
            checkpoint=job.folder / CHECKPOINTS[options.checkpoint],
            list_sha256=list_sha256,
            threads=options.threads,
        )
        runs.append({"role": role, "seed": seed, **found})
        logits |= {logits_key(role, seed, cell): one for cell, one in computed.items()}
        log.info(f"{number}/{len(jobs)} evaluated: {job.label}, {time.monotonic() - started:.0f} s")
    bootstrap = bootstrap_of(options)
    keys = [cell.key for cell in cells]
    labels = [sample.label for sample in dataset.samples]
    root = _root(experiments[0].cfg, options)
    study = {
        **header(FORMAT, FORMAT_VERSION),
        "conditions": {
            "machine": machine.machine(),
            "threads": options.threads,
            "checkpoint": options.checkpoint,
            **bootstrap,
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
                    if isinstance(block, Training)
                },
            }
            for one in experiments
        },
        "differences_besides_model": setting_differences(
            experiments[0].cfg.to_dict(), experiments[1].cfg.to_dict()
        ),
        "data": {
            "list": str(_list_file(experiments[0].cfg, options)),
            "sha256": list_sha256,
            "clips_sha256": fingerprint(dataset.samples),
            "listed": len(dataset),
            "failed": sorted({path for one in runs for path in one.pop("failed")}),
            "labels": labels,
            "paths": shown_paths([sample.path for sample in dataset.samples], root),
        },
        "seeds": options.seeds,
        "cells": keys,
        **pool_seeds(runs, seeds=options.seeds, cells=keys, bootstrap=bootstrap),
        "by_class": by_class(
            runs,
            seeds=options.seeds,
            cell=DYNAMIC.key,
            labels=labels,
            names=names,
            bootstrap=bootstrap,
        ),
        "runs": runs,
    }
    return study, logits


def write_study(study: Mapping[str, Any], folder: Path, *, logits: Logits | None = None) -> None:
    """Write results.json, results.csv and report.md, and before them logits.npz where given."""
    if logits is not None:
        study = {**study, "logits": write_logits(folder / "results.json", logits)}
    write_text(folder / "results.json", dump(study))
    write_text(folder / "results.csv", as_csv(study))
    when = measured(study)
    write_text(
        folder / "report.md", markdown("What DML brings, over seeds", when, study_section(study))
    )


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


def _experiments(options: argparse.Namespace) -> list[Experiment]:
    """Both configs, read and checked before anything is trained."""
    from train.config.load import load_config

    configs, wrong = named_configs(options)
    wrong += number_problems(vars(options), NUMBERS) + folder_problems("out", options.out)
    if options.root is not None and options.data is None:
        wrong.append("--root without --data")
    refuse(wrong)
    found = [
        Experiment(role, name, path, load_config(path, options.override))
        for role, (name, path) in zip(ROLES, configs, strict=True)
    ]
    check_environment(variable for one in found for variable in one.cfg.BEFORE)
    return found


def _list_file(cfg: Config, options: argparse.Namespace) -> Path:

    if options.data is not None:
        return Path(options.data)
    files = cfg.lists["test"]
    if files is None:
        raise BenchmarkError(f"{cfg.source}: DATASET has no test list; give one with --data")
    return files.list_file


def _root(cfg: Config, options: argparse.Namespace) -> Path | None:
    """The folder that the paths of the test list start from."""
    files = cfg.lists["test"]
    return options.root if options.data is not None or files is None else files.root


def _test_set(experiments: Sequence[Experiment], options: argparse.Namespace) -> ClipDataset:
    """The test clips, the same for both; read once."""
    from train.data.dataset import ClipDataset
    from train.data.lists import read_list
    from train.data.splits import build_dataset

    cfg = experiments[0].cfg
    specs = {one.cfg.specs["test"] for one in experiments}
    counts = {one.cfg.class_num for one in experiments}
    if len(specs) > 1 or len(counts) > 1:
        raise BenchmarkError(
            "the two configs do not see the same test clips: PIPELINE.test (or valid) and the "
            "number of classes must agree"
        )
    _list_file(cfg, options)
    if options.data is None:
        return build_dataset(cfg, "test")
    samples = read_list(options.data, root=options.root, num_classes=cfg.class_num)
    return ClipDataset(samples, specs.pop(), train=False, cache=cfg.DATASET.cache)


def _can_export() -> bool:
    return all(importlib.util.find_spec(name) is not None for name in ("paddle2onnx", "onnx"))


if __name__ == "__main__":
    run_and_exit(main)
