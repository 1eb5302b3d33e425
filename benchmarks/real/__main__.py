"""`python -m benchmarks.real --root DIR`: studies and gates over folds of several sets of clips.

Of each set below the root every clip is a test clip once (`benchmarks.study --folds`), all
deployments are judged on them (`benchmarks.gain --folds`), and the sets are pooled, each a stratum.
Stopped at any moment, the same command goes on where it was. `--add` pools other sets and seeds
that were measured before.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import EXTRA
from benchmarks.common import machine
from benchmarks.common.command import RESAMPLES, add_out, take_signals
from benchmarks.common.errors import BenchmarkError, StepError
from benchmarks.common.result_file import dump, header
from benchmarks.gate.verdict import Rule
from benchmarks.pages.markdown import markdown
from benchmarks.pages.parts import measured
from benchmarks.real.earlier import (
    REDUCED,
    RESULTS,
    check_alike,
    check_plan,
    load_measured,
    merge_gates,
    read_earlier,
    settings_record,
    starts_record,
)
from benchmarks.real.pooled import FORMAT, FORMAT_VERSION, pool_sets
from benchmarks.real.sections import real_sections, real_sentences
from benchmarks.stats.options import add_resampling, bootstrap_of
from benchmarks.study.jobs import REDUCE_RANGE, add_reduce_range
from benchmarks.training.runs import add_trainings
from export.option_limits import (
    SEED,
    THREADS,
    Allowed,
    folder_problems,
    number_problems,
    refuse,
)
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.files import write_text
from infer.system.log import logger
from train.config.options import add_override

log = logger("benchmarks.real")

SETS = ("railway", "tennis", "fights")
JOINED = ("tennis", "fights")
"""Sets whose files do not say of all clips which are of one video."""
CONFIGS = ("baseline=configs/real_baseline.yaml", "dml=configs/real_dml.yaml")
NAMES = ("labels.txt", "classes.txt")
WHOLE = "all.list"
LISTS = {"REAL_TRAIN": "train.list", "REAL_VALID": "val.list", "REAL_TEST": "test.list"}
STARTS = ("STUDENT_START", "TEACHER_START")
NUMBERS = {"parallel": THREADS, "threads": THREADS, "resamples": RESAMPLES, "seeds": SEED,
           "bootstrap_seed": SEED, "fold_seed": SEED, "folds": Allowed(2),
           "sheets": Allowed(0, 100, "0: none")}  # fmt: skip


@command(stopped="the same command goes on where it was", extra=EXTRA)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 a training failed, 2 wrong use."""
    options = _parser().parse_args(arguments)
    take_signals()
    found = run(options)
    write_text(options.out / "results.json", dump(found))
    text = markdown("Real clips, all of them", measured(found), real_sections(found))
    write_text(options.out / "report.md", text)
    for line in [*real_sentences(found), f"written: {options.out}/results.json, report.md"]:
        print(line)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.real",
        description="A study and a gate over folds of each set of clips, and all sets together.",
    )
    add = parser.add_argument
    add("--root", type=Path, help="folder with a folder for each set")
    add("--sets", nargs="*", default=list(SETS), metavar="SET",
        help="folders with clips, labels.txt or classes.txt, and all.list or train.list, val.list "
        "and test.list (default: %(default)s; none: only pool what --add names)")  # fmt: skip
    add("--add", nargs="+", type=Path, default=[], metavar="DIR",
        help="earlier results of this command: their sets and seeds are pooled too")  # fmt: skip
    add("--configs", nargs=2, default=list(CONFIGS), metavar="NAME=CONFIG",
        help="the baseline's config and the pair's (default: %(default)s)")  # fmt: skip
    add("--folds", type=int, default=5, metavar="K", help="default: %(default)s")
    add("--fold-seed", type=int, default=0, help="of the split into folds (default: %(default)s)")
    add("--join-duplicates", nargs="*", default=list(JOINED), metavar="SET",
        help="sets whose clips that look the same are of one group (%(default)s)")  # fmt: skip
    add("--seeds", nargs="+", type=int, default=[11, 12, 13], help="default: %(default)s")
    add("--backends", nargs="+", default=[], metavar="BACKEND",
        help="of the gate, only these (default: all that run here)")  # fmt: skip
    add("--sheets", type=int, default=6, metavar="NUMBER",
        help="clips of each kind of flip whose frames a gate's report shows; 0: none "
        "(default: %(default)s)")  # fmt: skip
    add("--runs", type=Path, default=Path("runs/real"), help="default: %(default)s")
    add_out(parser, "reports/real")
    add_override(parser)
    add_reduce_range(parser)
    add_trainings(parser)
    add_resampling(parser)
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Study and gate of each set, in processes of their own, then the pool; JSON-ready."""
    wrong = number_problems(vars(options), NUMBERS) + folder_problems("out", options.out)
    wrong += [
        f"--sets {name}: allowed is the name of a folder, once"
        for name in options.sets
        if name in ("", ".", "..") or "/" in name or options.sets.count(name) > 1
    ]
    if options.sets and options.root is None:
        wrong.append("--sets needs --root, the folder that holds them")
    if not options.sets and not options.add:
        wrong.append("no --sets and nothing to --add: name one")
    refuse(wrong)
    environments = {name: environment_of(options.root / name) for name in options.sets}
    starts = starts_record({name: os.environ[name] for name in STARTS if os.environ.get(name)})
    files = {name: _files(options.out / name) for name in options.sets}
    earlier = read_earlier(
        options.add,
        measured_now={study.resolve() for study, _ in files.values()},
        seeds=options.seeds,
    )
    settings = settings_record(
        configs=[config.partition("=")[2] for config in options.configs],
        override=options.override,
        checkpoint=options.checkpoint,
        folds=options.folds,
        reduce_range=options.reduce_range,
        starts=starts,
    )
    check_plan(
        earlier,
        sets=options.sets,
        seeds=options.seeds,
        settings=settings if options.sets else {},
    )
    for name, environment in environments.items():
        _measure(options, name, environment)
    measured = [load_measured(name, each, starts) for name, each in files.items()] + earlier
    check_alike(measured)
    # In an order that does not tell in which they were measured: resamples depend on it.
    names = sorted({one.name for one in measured})
    measured.sort(key=lambda one: one.seeds)
    sets = {name: [one for one in measured if one.name == name] for name in names}
    gates = {name: merge_gates(each) for name, each in sets.items()}
    rule = Rule()
    resampling = bootstrap_of(options)
    return {
        **header(FORMAT, FORMAT_VERSION),
        "conditions": {"machine": machine.machine(), **resampling},
        "rule": {"keep": rule.keep, "margin": rule.margin},
        "starts": measured[0].starts,
        "reduce_range": measured[0].settings[REDUCED],
        "files": {name: [one.record(options.out) for one in each] for name, each in sets.items()},
        **pool_sets(gates, rule, resampling),
    }


def _files(folder: Path) -> tuple[Path, Path]:
    """The result files of a set's study and gate."""
    return folder / RESULTS, folder / "gate" / RESULTS


def environment_of(folder: Path) -> dict[str, str]:
    """The variables by which configs/real_base.yaml finds a set.

    Raises:
        BenchmarkError: there is no such folder, or it lacks class names or lists.
    """
    names = next((name for name in NAMES if (folder / name).is_file()), None)
    if names is None:
        there = "it holds neither" if folder.is_dir() else "there is no such folder with"
        raise BenchmarkError(f"{folder}: {there} {' nor '.join(NAMES)}, the class names by line")
    if (folder / WHOLE).is_file():
        lists = dict.fromkeys(LISTS, WHOLE)
    else:
        lists = {name: file for name, file in LISTS.items() if (folder / file).is_file()}
        if not {"REAL_TRAIN", "REAL_VALID"} <= set(lists):
            raise BenchmarkError(
                f"{folder} holds no {WHOLE}, and not both train.list and val.list; "
                "`python -m train.data.folders` writes lists"
            )
        lists.setdefault("REAL_TEST", lists["REAL_VALID"])
    return {"REAL_ROOT": str(folder), "REAL_NAMES": names, **lists}


def _measure(options: argparse.Namespace, name: str, environment: Mapping[str, str]) -> None:
    """Study and gate of a set."""
    out, runs = options.out / name, options.runs / name
    log.info(f"{name}: the study")
    joined = ["--join-duplicates"] if name in options.join_duplicates else []
    common = ["--threads", str(options.threads), "--resamples", str(options.resamples)]
    _step(
        "benchmarks.study", "--configs", *options.configs, "--folds", str(options.folds),
        "--fold-seed", str(options.fold_seed), "--seeds", *map(str, options.seeds),
        "--out", str(out), "--runs", str(runs), "--parallel", str(options.parallel),
        "--checkpoint", options.checkpoint, "--bootstrap-seed", str(options.bootstrap_seed),
        "--export", *common, *joined, *([REDUCE_RANGE] if options.reduce_range else []),
        *(part for one in options.override for part in ("-o", one)),
        environment=environment,
    )  # fmt: skip
    log.info(f"{name}: the gate")
    gate = out / "gate"
    bundles = [
        [
            str(runs / str(fold) / f"{Path(config.partition('=')[2]).stem}-{seed}" / "bundle")
            for seed in options.seeds
            for fold in range(1, options.folds + 1)
        ]
        for config in options.configs
    ]
    backends = ["--backends", *options.backends] if options.backends else []
    _step(
        "benchmarks.gain", "--baseline", *bundles[0], "--student", *bundles[1],
        "--folds", str(runs / "folds.json"), "--out", str(gate / "results.json"),
        "--report", str(gate), "--no-latency", "--tell-only", "--workers", "1", *backends,
        "--seed", str(options.bootstrap_seed), "--sheets", str(options.sheets), *common,
        environment=environment,
    )  # fmt: skip


def _step(*words: str, environment: Mapping[str, str]) -> None:
    """Run a command of this repository; it says itself what is wrong.

    Raises:
        StepError: it failed.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        env={**os.environ, **environment},
        # A terminal's Ctrl-C would reach it beside ours.
        start_new_session=True,
    )
    try:
        status = process.wait()
    except BaseException:
        # It stops its trainings, which write their checkpoints; killed, it would leave them.
        process.terminate()
        process.wait()
        raise
    if status:
        raise StepError(f"python -m {words[0]} failed; its message is above", status)


if __name__ == "__main__":
    run_and_exit(main)
