"""`python -m benchmarks.study`: what DML brings, over several seeds, on the untouched test list.

For every seed the baseline and the pair are trained (same first weights, same batches), their
checkpoints evaluated in Paddle and after export, and the gains pooled over seeds and clips. With
`--folds K` each seed trains a pair on every fold, and every clip of the set is a test clip once.
Stopped at any moment, the same command goes on where it was.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import EXTRA
from benchmarks.common.command import add_out, take_signals
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import dump, shown_paths
from benchmarks.deployments.logits import Logits, logits_key, write_logits
from benchmarks.pages.markdown import markdown
from benchmarks.pages.parts import measured
from benchmarks.stats.options import add_resampling
from benchmarks.study.cross_validation import run_folds
from benchmarks.study.experiments import (
    can_export,
    list_file,
    list_root,
    read_experiments,
    test_set,
)
from benchmarks.study.jobs import add_pair, add_reduce_range
from benchmarks.study.measure import DYNAMIC, EXPORTED, common_cells, measure_run
from benchmarks.study.pooled import as_csv
from benchmarks.study.record import study_record
from benchmarks.study.sections import study_section
from benchmarks.study.sentences import study_sentence
from benchmarks.training.runs import CHECKPOINTS, Job, add_trainings, train_all
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.files import sha256_of, write_text
from infer.system.log import logger

if TYPE_CHECKING:
    import numpy as np

log = logger("benchmarks.study")


@command(stopped="the same command goes on from the last checkpoints", extra=EXTRA)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 a training failed, 2 wrong use."""
    options = _parser().parse_args(arguments)
    name = "study" if options.folds is None else "folds"
    options.out = options.out or Path("reports") / name
    options.runs = options.runs or Path("runs") / name
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
    parser = Parser(
        prog="python -m benchmarks.study",
        description="Train baseline and DML pair over seeds and measure the gain on the test list.",
    )
    add = parser.add_argument
    add_pair(parser)
    add("--data", type=Path, help="test list (default: DATASET.test of the config)")
    add("--root", type=Path, help="folder that the list's paths start from (with --data)")
    add("--folds", type=int, metavar="K",
        help="cross-validation: every clip of the lists, or of --data, is tested once")  # fmt: skip
    add("--fold-seed", type=int, default=0,
        help="of the split into folds (with --folds; %(default)s)")  # fmt: skip
    add("--groups", default="auto", metavar="FILE",
        help="with --folds, what must not straddle them: a file with lines `path group`, scenes "
        "(of scene/class/clip), none, or auto: groups.txt of the root, else scenes")  # fmt: skip
    add("--join-duplicates", action="store_true",
        help="with --folds: clips that look the same are of one group")  # fmt: skip
    add_out(parser)
    add("--runs", type=Path, help="default: runs/study, with --folds runs/folds")
    add("--export", action=argparse.BooleanOptionalAction, default=None,
        help="measure after export as well (default: yes, where it can be)")  # fmt: skip
    add_reduce_range(parser)
    add_trainings(parser)
    add_resampling(parser)
    return parser


def run(options: argparse.Namespace) -> tuple[dict[str, Any], Logits]:
    """Train, evaluate, pool; the result, JSON-ready, and all logits."""
    experiments = read_experiments(options)
    if options.export is None:
        options.export = can_export()
        if not options.export:
            log.warning("the export tools are not installed: measuring in Paddle only")
    if options.reduce_range and not options.export:
        raise BenchmarkError("--reduce-range is about exported files, and nothing is exported")
    cells = [DYNAMIC, *(EXPORTED if options.export else ())]
    if options.folds is not None:
        return run_folds(options, experiments, cells)
    from train.data.fingerprint import fingerprint

    dataset = test_set(experiments, options)
    test_list = list_file(experiments[0].cfg, options)
    list_sha256 = sha256_of(test_list)
    jobs = {
        (one.role, seed): Job(
            one.name, one.path, seed, options.runs / f"{one.name}-{seed}", tuple(options.override)
        )
        for seed in options.seeds
        for one in experiments
    }
    train_all(list(jobs.values()), parallel=options.parallel, threads=options.threads)
    found: dict[tuple[str, int], tuple[dict[str, Any], dict[str, np.ndarray]]] = {}
    for number, ((role, seed), job) in enumerate(jobs.items(), start=1):
        cfg = next(one.cfg for one in experiments if one.role == role)
        started = time.monotonic()
        found[role, seed] = measure_run(
            job,
            cfg,
            dataset,
            cells,
            checkpoint=job.folder / CHECKPOINTS[options.checkpoint],
            list_sha256=list_sha256,
            threads=options.threads,
            reduce_range=options.reduce_range,
        )
        log.info(f"{number}/{len(jobs)} evaluated: {job.label}, {time.monotonic() - started:.0f} s")
    cells, left_out = common_cells(cells, [record for record, _ in found.values()])
    runs = [{"role": role, "seed": seed, **record} for (role, seed), (record, _) in found.items()]
    logits = {
        logits_key(role, seed, cell.key): computed[cell.key]
        for (role, seed), (_, computed) in found.items()
        for cell in cells
    }
    root = list_root(experiments[0].cfg, options)
    data = {
        "list": str(test_list),
        "sha256": list_sha256,
        "clips_sha256": fingerprint(dataset.samples),
        "listed": len(dataset),
        "labels": [sample.label for sample in dataset.samples],
        "paths": shown_paths([sample.path for sample in dataset.samples], root),
    }
    return study_record(options, experiments, runs, data, cells, left_out), logits


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


if __name__ == "__main__":
    run_and_exit(main)
