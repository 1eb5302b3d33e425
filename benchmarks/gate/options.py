"""Options of the commands that compare baselines and students, and the bundles that they name."""

from __future__ import annotations

import argparse
import os
from collections.abc import Collection
from pathlib import Path

from benchmarks.common import machine
from benchmarks.common.errors import BenchmarkError
from benchmarks.deployments.accuracy import MODELS
from benchmarks.gate.verdict import FAIL, UNCLEAR
from export.option_limits import refuse
from infer.bundle.bundle import Bundle
from infer.containers.decoder import decoder_warning, installed
from infer.system.errors import ClipDuetError, listed
from infer.system.log import logger
from train.config.list_format import FORMATS
from train.config.options import add_override

log = logger(__name__)

LIST = {"data": None, "folds": None, "root": None, "format": "VideoDataset", "suffix": ""}
"""Options that name a list, with what they are where they are not given."""


def add_models(parser: argparse.ArgumentParser) -> None:
    """`--baseline` and `--student`."""
    add = parser.add_argument
    add("--baseline", nargs="+", type=Path, required=True, metavar="BUNDLE",
        help="bundle of the baseline; several: one of every trained pair")  # fmt: skip
    add("--student", nargs="+", type=Path, required=True, metavar="BUNDLE",
        help="bundle of the DML student, as many and in the same order")  # fmt: skip


def add_clips(parser: argparse.ArgumentParser) -> None:
    """The clips: `--data` with what else names a list, `--config` or `--folds`."""
    add = parser.add_argument
    add("--data", type=Path, help="list of labelled test clips")
    add("-c", "--config", metavar="FILE",
        help="instead: the test list of this config, with its root, format and suffix")  # fmt: skip
    add_override(parser)
    add("--folds", type=Path, metavar="FILE",
        help="instead: folds.json of a study with --folds; --baseline and --student then name a "
        "bundle for each fold, of several seeds one seed after another")  # fmt: skip
    add("--root", type=Path, default=None, help="folder that the list's paths start from")
    add("--format", choices=FORMATS, default=LIST["format"], help="format of the list")
    add("--suffix", default=LIST["suffix"],
        help="file suffix or name pattern of frames, as in the config")  # fmt: skip


def take_list_of_config(options: argparse.Namespace) -> None:
    """Put the test list of `--config` in the place of the options that name a list.

    Raises:
        OptionError: a list is named too, or --override is given without --config.
        BenchmarkError: the config has no test list.
    """
    if options.config is None:
        refuse(["--override without --config"] if options.override else [])
        return
    from train.config.load import load_config

    named = [name for name, usual in LIST.items() if getattr(options, name) != usual]
    refuse([f"--config and --{name}: name one" for name in named])
    cfg = load_config(options.config, options.override)
    files = cfg.lists["test"]
    if files is None:
        raise BenchmarkError(f"{cfg.source}: DATASET has no test list; give one with --data")
    options.data, options.root = files.list_file, files.root
    options.format, options.suffix = files.format, files.suffix


def clips_problems(options: argparse.Namespace) -> list[str]:
    """Sentences where not one of a list and folds is given, or more is said of folds."""
    if (options.data is None) == (options.folds is None):
        what = "--data, a list, --config, a config with a test list, and --folds, those of a study"
        return [f"give one of {what}"]
    if options.folds is None:
        return []
    named = [name for name in ("root", "format", "suffix") if getattr(options, name) != LIST[name]]
    return [f"--folds and --{name}: folds name their {name}; leave out --{name}" for name in named]


def add_deployments(parser: argparse.ArgumentParser, *, default: str) -> None:
    """`--backends` and `--cells`; `default` says what is taken without either."""
    add = parser.add_argument
    add("--backends", nargs="+", type=_commas, default=[], metavar="BACKEND",
        help=f"only these, with a blank or comma between (default: {default})")  # fmt: skip
    add("--cells", nargs="+", type=_commas, default=[], metavar="BACKEND:PRECISION",
        help="only these deployments, for example openvino:int8")  # fmt: skip


def add_rule(parser: argparse.ArgumentParser) -> None:
    """`--keep` and `--margin`: what a deployment has to keep."""
    add = parser.add_argument
    add("--keep", type=float, default=80.0, metavar="PERCENT",
        help="share of the gain that must be retained (default: %(default)g)")  # fmt: skip
    add("--margin", type=float, default=0.5, metavar="POINTS",
        help="or: loss of the student that is allowed (default: %(default)g)")  # fmt: skip


def add_exit(parser: argparse.ArgumentParser) -> None:
    """`--tell-only` and `--strict`: what the exit status says of verdicts."""
    add = parser.add_argument
    add("--tell-only", action="store_true", help="exit with 0 also where a deployment fails")
    add("--strict", action="store_true", help="exit with 1 also where a verdict is inconclusive")


def exit_status(
    options: argparse.Namespace, *, overall: str, verdicts: Collection[str], failure: str
) -> int:
    """The exit status that verdicts, `--strict` and `--tell-only` give: 0 or 1.

    Args:
        options: of `add_exit`.
        overall: the verdict on everything together.
        verdicts: each of them, for `--strict`.
        failure: what is told where the status is 1, or would be without `--tell-only`.
    """
    if overall != FAIL and not (options.strict and UNCLEAR in verdicts):
        return 0
    log.warning(failure + "; ignored" * options.tell_only)
    return 0 if options.tell_only else 1


def add_work(parser: argparse.ArgumentParser) -> None:
    """`--threads` and `--workers`."""
    add = parser.add_argument
    add("--threads", type=int, default=machine.cpu_count(), help="threads of each runtime")
    add("--workers", type=int, default=2, help="threads that decode")


def _commas(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def rule_problems(options: argparse.Namespace) -> list[str]:
    """A sentence about each number of the rule that is beyond what is allowed."""
    wrong = []
    if not 0 < options.keep <= 100:
        wrong.append(f"--keep is {options.keep:g}; allowed: a percentage above 0, at most 100")
    if not 0 <= options.margin < 100:
        wrong.append(f"--margin is {options.margin:g}; allowed: points from 0, below 100")
    return wrong


def inputs(options: argparse.Namespace) -> list[Path]:
    """The real paths of all bundles, and of the list or folds: what is only read."""
    given = [path for path in (options.data, options.folds) if path is not None]
    given += [path for model in MODELS for path in getattr(options, model)]
    return [Path(os.path.realpath(path)) for path in given]


def load_bundles(options: argparse.Namespace) -> dict[str, list[Bundle]]:
    """All bundles by model, or everything that is wrong with any.

    Raises:
        BenchmarkError: one cannot be loaded.
    """
    bundles: dict[str, list[Bundle]] = {model: [] for model in MODELS}
    problems = []
    for model in MODELS:
        for folder in getattr(options, model):
            try:
                bundles[model].append(Bundle.load(folder))
            except ClipDuetError as error:
                problems.append(str(error))
    if problems:
        raise BenchmarkError(problems[0] if len(problems) == 1 else listed("bundles", problems))
    here = installed()
    warnings = [decoder_warning(one.decoder, here) for model in MODELS for one in bundles[model]]
    for warning in dict.fromkeys(filter(None, warnings)):
        log.warning(warning)
    return bundles
