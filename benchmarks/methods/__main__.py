"""`python -m benchmarks.methods kd dkd ...`: distillation methods against the fair baseline.

Every method of configs/methods is trained for every seed, beside the baseline: the same student
alone, from the same first weights. What a method builds on, such as a trained teacher, is trained
once a seed and shared. Stopped at any moment, the same command goes on where it was; what the
result file holds of these or other methods, found under the same conditions, stays in the table.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import EXTRA
from benchmarks.common import machine
from benchmarks.common.command import add_out, add_seeds, repeated_seeds, take_signals
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import dump, header
from benchmarks.methods.earlier import (
    FORMAT,
    FORMAT_VERSION,
    conditions,
    stored_study,
    valid_rows,
)
from benchmarks.methods.table import as_csv, as_markdown, sentence
from benchmarks.stats.options import add_resampling, bootstrap_of
from benchmarks.study.experiments import NUMBERS
from benchmarks.study.jobs import add_jobs, needed, recipe_sha256
from benchmarks.study.measure import DYNAMIC, measure_run, seconds_of
from benchmarks.study.pooled import pool_seeds
from benchmarks.training.runs import CHECKPOINTS, Job, add_trainings, check_environment, train_all
from export.option_limits import folder_problems, number_problems, refuse
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.files import sha256_of, write_text
from infer.system.log import logger
from train.config.options import add_override

if TYPE_CHECKING:
    from train.config.load import Config
    from train.data.dataset import ClipDataset

log = logger("benchmarks.methods")

FOLDER = Path("configs/methods")
BASELINE = "configs/motions_baseline.yaml"
SEEDS = (11, 12, 13, 14, 15)
LEAST_SEEDS = 3
"""With fewer, the spread over seeds is a guess."""


@dataclass(frozen=True)
class Method:
    """A config and what the table calls it."""

    name: str
    path: Path
    cfg: Config


@command(stopped="the same command goes on from the last checkpoints", extra=EXTRA)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 a training failed, 2 wrong use."""
    options = _parser().parse_args(arguments)
    take_signals()
    study = run(options)
    write_text(options.out / "results.json", dump(study))
    write_text(options.out / "results.csv", as_csv(study))
    write_text(options.out / "report.md", as_markdown(study))
    sentences = [sentence(row) for row in study["methods"]]
    for line in [*sentences, f"written: {options.out}/results.json, results.csv, report.md"]:
        print(line)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.methods",
        description="Train distillation methods and the baseline over seeds; compare on the test "
        "list.",
    )
    add = parser.add_argument
    add("methods", nargs="+", metavar="METHOD",
        help=f"a file of {FOLDER} without its suffix, or NAME=CONFIG")  # fmt: skip
    add("--baseline", type=Path, default=Path(BASELINE), help="default: %(default)s")
    add_seeds(parser, SEEDS)
    add_out(parser, "reports/methods")
    add("--runs", type=Path, default=Path("runs/methods"), help="default: %(default)s")
    add_override(parser)
    add_trainings(parser)
    add_resampling(parser)
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train, evaluate, compare; JSON-ready."""
    methods = _methods(options)
    sets, data = _test_sets(methods)
    given = conditions(data, overrides=options.override, checkpoint=options.checkpoint)
    answers = _kept(options, methods, given)
    jobs: dict[str, Job] = {}
    finals = {
        (method.name, seed): add_jobs(
            jobs, method.path, seed, runs=options.runs, overrides=tuple(options.override)
        )
        for seed in options.seeds
        for method in methods
        if (method.name, seed) not in answers
    }
    train_all(list(jobs.values()), parallel=options.parallel, threads=options.threads)
    answers |= _measure(options, methods, finals, jobs, sets=sets, list_sha256=data["sha256"])
    bootstrap = bootstrap_of(options)
    baseline = methods[0].name
    rows = []
    for method in methods:
        runs = [
            {"role": role, "seed": seed, **answers[name, seed]}
            for seed in options.seeds
            for role, name in (("baseline", baseline), ("student", method.name))
        ]
        found = pool_seeds(runs, seeds=options.seeds, cells=[DYNAMIC.key], bootstrap=bootstrap)
        rows.append(
            {
                "method": method.name,
                "config": str(method.path),
                "config_sha256": method.cfg.sha256(),
                "recipe_sha256": recipe_sha256(method.path, options.override),
                "epochs": method.cfg.epochs,
                "is_baseline": method.name == baseline,
                "top1": found["pooled"][DYNAMIC.key]["student"],
                "gain": found["pooled"][DYNAMIC.key],
                "runs": [answers[method.name, seed] for seed in options.seeds],
            }
        )
    return {
        **header(FORMAT, FORMAT_VERSION),
        "conditions": {
            "machine": machine.machine(),
            "checkpoint": options.checkpoint,
            "overrides": options.override,
            **bootstrap,
        },
        "given": given,
        "data": data,
        "seeds": options.seeds,
        "methods": rows,
    }


def _methods(options: argparse.Namespace) -> list[Method]:
    """The baseline and the methods, read and checked before anything is trained."""
    from train.config.load import load_config

    wrong = number_problems(vars(options), NUMBERS) + folder_problems("out", options.out)
    if len(set(options.seeds)) < LEAST_SEEDS:
        wrong.append(f"--seeds must be {LEAST_SEEDS} or more different ones")
    wrong += repeated_seeds(options.seeds)
    found = {"baseline": options.baseline}
    for text in options.methods:
        name, given, path = text.partition("=")
        file = Path(path) if given else FOLDER / f"{name}.yaml"
        if name in found:
            wrong.append(f"{name} is named twice")
        if not file.is_file():
            known = ", ".join(sorted(one.stem for one in FOLDER.glob("[a-z]*.yaml")))
            wrong.append(f"method {text}: there is no {file}; {FOLDER} has {known or 'none'}")
        found[name] = file
    refuse(wrong)
    methods = [Method(n, path, load_config(path, options.override)) for n, path in found.items()]
    check_environment(variable for one in methods for variable in one.cfg.BEFORE)
    return methods


def _kept(
    options: argparse.Namespace, methods: list[Method], given: Mapping[str, Any]
) -> dict[tuple[str, int], dict[str, Any]]:
    """Answers of an earlier study, by method and seed; its other methods are added to `methods`.

    Raises:
        BenchmarkError: something of it would be lost.
    """
    from train.config.load import load_config

    file = options.out / "results.json"
    stored = stored_study(file)
    if stored is None:
        return {}
    measured = [method.name for method in methods]
    named = {method.name: method for method in methods}
    for row in stored["methods"]:
        path = Path(row["config"])
        if row["method"] not in named and path.is_file():
            cfg = load_config(path, options.override)
            named[row["method"]] = Method(row["method"], path, cfg)
    rows = valid_rows(
        stored,
        file=file,
        given=given,
        seeds=options.seeds,
        recipes={name: recipe_sha256(one.path, options.override) for name, one in named.items()},
        measured=measured,
    )
    methods += [named[row["method"]] for row in rows if row["method"] not in measured]
    if rows:
        log.info(f"measured before: {', '.join(sorted(row['method'] for row in rows))}")
    return {
        (row["method"], run["seed"]): run
        for row in rows
        for run in row["runs"]
        if run["seed"] in options.seeds
    }


def _test_sets(methods: Sequence[Method]) -> tuple[dict[Any, ClipDataset], dict[str, Any]]:
    """The test clips by how they are sampled, read once, and what the result says of them."""
    from train.data.fingerprint import fingerprint
    from train.data.splits import build_dataset

    sets: dict[Any, ClipDataset] = {}
    lists = set()
    for method in methods:
        files = method.cfg.lists["test"]
        if files is None:
            raise BenchmarkError(f"{method.path}: DATASET has no test list")
        lists.add((str(files.list_file), sha256_of(files.list_file)))
        if method.cfg.specs["test"] not in sets:
            sets[method.cfg.specs["test"]] = build_dataset(method.cfg, "test")
    if len({sha256 for _, sha256 in lists}) > 1:
        raise BenchmarkError("the methods are tested on different lists: DATASET.test must agree")
    (name, sha256) = next(iter(lists))
    first = next(iter(sets.values()))
    return sets, {
        "list": name,
        "sha256": sha256,
        "clips_sha256": fingerprint(first.samples),
        "training_sha256": fingerprint(build_dataset(methods[0].cfg, "train").samples),
        "listed": len(first),
        "labels": [sample.label for sample in first.samples],
    }


def _measure(
    options: argparse.Namespace,
    methods: Sequence[Method],
    finals: Mapping[tuple[str, int], Job],
    jobs: Mapping[str, Job],
    *,
    sets: dict[Any, ClipDataset],
    list_sha256: str,
) -> dict[tuple[str, int], dict[str, Any]]:
    """What every student that was trained answers and cost."""
    configs = {method.name: method.cfg for method in methods}
    answers = {}
    for (name, seed), job in finals.items():
        cfg = configs[name]
        found, _ = measure_run(
            job,
            cfg,
            sets[cfg.specs["test"]],
            [DYNAMIC],
            checkpoint=job.folder / CHECKPOINTS[options.checkpoint],
            list_sha256=list_sha256,
            threads=options.threads,
        )
        before = sum(seconds_of(one.folder / CHECKPOINTS["last"]) for one in needed(job, jobs))
        answers[name, seed] = {
            **found,
            "seed": seed,
            "seconds_before": before,
        }
        log.info(f"evaluated: {name}, seed {seed}")
    return answers


if __name__ == "__main__":
    run_and_exit(main)
