"""The two configs of a study and the clips that they are tested on, read before any training."""

from __future__ import annotations

import argparse
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common.command import RESAMPLES
from benchmarks.common.errors import BenchmarkError
from benchmarks.study.jobs import named_configs
from benchmarks.study.pooled import ROLES
from benchmarks.training.runs import check_environment
from export.option_limits import (
    SEED,
    THREADS,
    Allowed,
    folder_problems,
    number_problems,
    refuse,
)

if TYPE_CHECKING:
    from train.config.load import Config
    from train.data.dataset import ClipDataset

NUMBERS = {"parallel": THREADS, "threads": THREADS, "resamples": RESAMPLES,
           "bootstrap_seed": SEED, "seeds": SEED}  # fmt: skip
FOLDS = Allowed(2)


@dataclass(frozen=True)
class Experiment:
    """One of the two configs of a study."""

    role: str
    name: str
    path: Path
    cfg: Config


def read_experiments(options: argparse.Namespace) -> list[Experiment]:
    """Both configs, read and checked before anything is trained."""
    from train.config.load import load_config

    configs, wrong = named_configs(options)
    wrong += number_problems(vars(options), NUMBERS) + folder_problems("out", options.out)
    if options.root is not None and options.data is None:
        wrong.append("--root without --data")
    wrong += _wrong_folds(options)
    refuse(wrong)
    found = [
        Experiment(role, name, path, load_config(path, options.override))
        for role, (name, path) in zip(ROLES, configs, strict=True)
    ]
    check_environment(variable for one in found for variable in one.cfg.BEFORE)
    return found


def _wrong_folds(options: argparse.Namespace) -> list[str]:
    if options.folds is not None:
        return number_problems(vars(options), {"folds": FOLDS, "fold_seed": SEED})
    given = {
        "--fold-seed": options.fold_seed != 0,
        "--groups": options.groups != "auto",
        "--join-duplicates": options.join_duplicates,
    }
    return [f"{flag} without --folds" for flag, there in given.items() if there]


def list_file(cfg: Config, options: argparse.Namespace) -> Path:
    """The test list."""
    if options.data is not None:
        return Path(options.data)
    files = cfg.lists["test"]
    if files is None:
        raise BenchmarkError(f"{cfg.source}: DATASET has no test list; give one with --data")
    return files.list_file


def list_root(cfg: Config, options: argparse.Namespace) -> Path | None:
    """The folder that the paths of the test list start from."""
    files = cfg.lists["test"]
    return options.root if options.data is not None or files is None else files.root


def test_set(experiments: Sequence[Experiment], options: argparse.Namespace) -> ClipDataset:
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
    list_file(cfg, options)
    if options.data is None:
        return build_dataset(cfg, "test")
    samples = read_list(options.data, root=options.root, num_classes=cfg.class_num)
    return ClipDataset(samples, specs.pop(), train=False, cache=cfg.DATASET.cache)


def can_export() -> bool:
    """Whether the export tools are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("paddle2onnx", "onnx"))
