"""What a config needs to be trained, and how a finished training is exported."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.common.command import add_seeds, repeated_seeds
from benchmarks.common.errors import BenchmarkError, StepError
from benchmarks.training.runs import CHECKPOINTS, TAIL, Job
from infer.system.files import sha256_of
from train.config.options import add_override

CONFIGS = ("baseline=configs/motions_baseline.yaml", "dml=configs/motions_dml.yaml")
REDUCE_RANGE = "--reduce-range"
SEEDS = tuple(range(21, 31))
"""Those of the study: named before any of them was trained. Recipes are tuned with others."""


def add_pair(parser: argparse.ArgumentParser) -> None:
    """`--configs`, `--seeds` and `--override` of what compares a baseline and a student."""
    add = parser.add_argument
    add("--configs", nargs=2, default=list(CONFIGS), metavar="NAME=CONFIG",
        help="the baseline's config and the pair's (default: %(default)s)")  # fmt: skip
    add_seeds(parser, SEEDS)
    add_override(parser)


def add_reduce_range(parser: argparse.ArgumentParser) -> None:
    """Add --reduce-range, of the export."""
    text = "int8 weights of 7 bits, for ONNX Runtime on x86 CPUs without VNNI"
    parser.add_argument(REDUCE_RANGE, action="store_true", help=text)


def named_configs(options: argparse.Namespace) -> tuple[list[tuple[str, Path]], list[str]]:
    """The names and files of `--configs`, and what is wrong with that and with `--seeds`."""
    pairs = [text.partition("=")[::2] for text in options.configs]
    wrong = [
        f"--configs {text} (allowed: NAME=CONFIG)"
        for text, (name, path) in zip(options.configs, pairs, strict=True)
        if not (name and path) or "/" in name
    ]
    if len({name for name, _ in pairs}) < len(pairs):
        wrong.append("--configs gives both the same name")
    return [(name, Path(path)) for name, path in pairs], wrong + repeated_seeds(options.seeds)


def add_jobs(
    jobs: dict[str, Job],
    path: Path,
    seed: int,
    *,
    runs: Path,
    overrides: tuple[str, ...],
    tag: str = "",
) -> Job:
    """Add a config's training to `jobs`, by label, and before it the trainings that it needs.

    One that is there already, such as a teacher that another method has asked for, is shared.
    `tag` tells jobs apart that have the same config and seed, such as those of several folds.

    Raises:
        BenchmarkError: two configs would train into one folder.
        ConfigError: a config has mistakes.
    """
    from train.config.load import load_config
    from train.config.schema.before import Training

    needed = []
    cfg = load_config(path, overrides)
    for variable, block in cfg.BEFORE.items():
        if isinstance(block, Training) and cfg.ready(variable) is None:
            other = (cfg.beside(block.relative_to) / block.train).resolve()
            changes = (*overrides, *block.override)
            job = add_jobs(jobs, other, seed, runs=runs, overrides=changes, tag=tag)
            needed.append((variable, job))
    job = Job(
        name=path.stem,
        config=_seen_from_here(path),
        seed=seed,
        folder=runs / f"{path.stem}-{seed}",
        overrides=overrides,
        variables=tuple(
            (name, str((one.folder / CHECKPOINTS["best"]).resolve())) for name, one in needed
        ),
        after=tuple(one.label for _, one in needed),
        tag=tag,
    )
    known = jobs.setdefault(job.label, job)
    if known != job:
        raise BenchmarkError(
            f"{known.config} and {job.config} would both be trained in {job.folder}, with "
            f"{known.overrides} and {job.overrides}; rename one of them"
        )
    return known


def _seen_from_here(path: Path) -> Path:
    """One name for one file, which in results does not tell where the checkout lies."""
    whole, here = path.resolve(), Path.cwd().resolve()
    return whole.relative_to(here) if whole.is_relative_to(here) else whole


def needed(job: Job, jobs: Mapping[str, Job]) -> list[Job]:
    """Every training that a job builds on, however far back."""
    found: dict[str, Job] = {}
    for label in job.after:
        found |= {label: jobs[label]} | {one.label: one for one in needed(jobs[label], jobs)}
    return list(found.values())


def recipe_sha256(path: Path, overrides: Sequence[str] = ()) -> str:
    """Checksum of a config and, however far back, of those that it builds on.

    `Config.sha256` is that of one file: a better teacher leaves it as it was.

    Raises:
        ConfigError: a config has mistakes.
    """
    from train.config.load import load_config
    from train.config.schema.before import Training

    cfg = load_config(path, overrides)
    before = {}
    for variable, block in cfg.BEFORE.items():
        ready = cfg.ready(variable)
        if ready is not None:
            before[variable] = sha256_of(ready)
        elif isinstance(block, Training):
            changes = (*overrides, *block.override)
            before[variable] = recipe_sha256(cfg.beside(block.relative_to) / block.train, changes)
        else:
            before[variable] = recipe_sha256(cfg.beside(block.relative_to) / block.label, overrides)
    text = json.dumps([cfg.sha256(), before], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest() if before else cfg.sha256()


def run_export(
    *words: str,
    label: str,
    checkpoint: Path,
    config: Path,
    changes: Sequence[str],
    environment: Mapping[str, str] | None = None,
    hint: str = "",
) -> None:
    """Run a command of `export` on a finished training.

    Args:
        *words: the module and its own arguments.
        label: of the training, for messages.
        checkpoint: its weights.
        config: its YAML file.
        changes: overrides of the config.
        environment: variables besides those of this process.
        hint: what to do if it fails.

    Raises:
        StepError: it failed; with the end of what it said.
    """
    command = [
        sys.executable, "-m", *words, "--checkpoint", str(checkpoint), "-c", str(config),
        *(part for change in changes for part in ("--override", change)),
    ]  # fmt: skip
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=variables)
    if done.returncode:
        told = f"{label}: {' '.join(command[1:])} failed:"
        end = (done.stderr or done.stdout)[-TAIL:].strip()
        raise StepError("\n".join(filter(None, (told, end, hint))), done.returncode)
