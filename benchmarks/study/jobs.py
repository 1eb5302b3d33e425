"""What a config needs to be trained: the trainings that it builds on, and what they all are."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.common.errors import BenchmarkError
from benchmarks.training.runs import CHECKPOINTS, Job

CONFIGS = ("baseline=configs/motions_baseline.yaml", "dml=configs/motions_dml.yaml")
SEEDS = (11, 12, 13, 14, 15)


def add_jobs(
    jobs: dict[str, Job], path: Path, seed: int, *, runs: Path, overrides: tuple[str, ...]
) -> Job:
    """Add a config's training to `jobs`, by label, and before it the trainings that it needs.

    One that is there already, such as a teacher that another method has asked for, is shared.

    Raises:
        BenchmarkError: two configs would train into one folder.
        ConfigError: a config has mistakes.
    """
    from train.config.load import load_config
    from train.config.schema.before import Training

    needed = []
    cfg = load_config(path, overrides)
    for variable, block in cfg.BEFORE.items():
        if isinstance(block, Training):
            other = (cfg.beside(block.relative_to) / block.train).resolve()
            changes = (*overrides, *block.override)
            job = add_jobs(jobs, other, seed, runs=runs, overrides=changes)
            needed.append((variable, job))
    job = Job(
        name=path.stem,
        config=path.resolve(),
        seed=seed,
        folder=runs / f"{path.stem}-{seed}",
        overrides=overrides,
        variables=tuple(
            (name, str((one.folder / CHECKPOINTS["best"]).resolve())) for name, one in needed
        ),
        after=tuple(one.label for _, one in needed),
    )
    known = jobs.setdefault(job.label, job)
    if known != job:
        raise BenchmarkError(
            f"{known.config} and {job.config} would both be trained in {job.folder}, with "
            f"{known.overrides} and {job.overrides}; rename one of them"
        )
    return known


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
        if isinstance(block, Training):
            changes = (*overrides, *block.override)
            before[variable] = recipe_sha256(cfg.beside(block.relative_to) / block.train, changes)
        else:
            before[variable] = recipe_sha256(cfg.beside(block.relative_to) / block.label, overrides)
    text = json.dumps([cfg.sha256(), before], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest() if before else cfg.sha256()
