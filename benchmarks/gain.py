"""`python -m benchmarks.gain`: is the gain still there after deployment, and what does it cost.

The gate: baseline and student answer the same listed clips in every deployment; each deployment
gets a verdict; only then are those that compute what they should timed, all in one run, in turns.
Given several baselines and students, trained alike with other seeds, the verdict is about the
recipe: pairs are resampled together with clips. With `--folds` a seed is a pair for each fold, and
every clip is answered by the pair of the fold that tests it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import EXTRA
from benchmarks.common import machine
from benchmarks.common.command import RESAMPLES, TIMING, add_out, take_signals
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import beside, dump, header
from benchmarks.deployments.accuracy import MODELS
from benchmarks.deployments.answers import check_bundles
from benchmarks.deployments.controls import time_controls
from benchmarks.deployments.deployment import choose_deployments
from benchmarks.deployments.logits import Logits, logits_path, write_logits
from benchmarks.gate.conditions import CONDITIONS, parse_requirements
from benchmarks.gate.flipped_clips import Sheets, contact_sheets
from benchmarks.gate.listed_clips import answer_listed, as_they_are, read_listed
from benchmarks.gate.options import (
    add_clips,
    add_deployments,
    add_exit,
    add_models,
    add_rule,
    add_work,
    clips_problems,
    exit_status,
    inputs,
    load_bundles,
    rule_problems,
    take_list_of_config,
)
from benchmarks.gate.results.layer_record import layer_record
from benchmarks.gate.results.records import cell_rows, choice_record, data_record, logits_of
from benchmarks.gate.results.result_file import FORMAT, FORMAT_VERSION
from benchmarks.gate.results.sheets_file import sheets_path, write_sheets
from benchmarks.gate.results.summary import overall, summary_path, write_summary
from benchmarks.gate.sentences.explanations import gate_sentences
from benchmarks.gate.verdict import Rule
from benchmarks.perturb.cameras import ALL, PERTURBATIONS, chosen_names
from benchmarks.perturb.conditions import CONDITIONS as PERTURBED
from benchmarks.perturb.run import measure_into, problems_beside_gate, verdict_status
from benchmarks.stats.options import add_resamples
from benchmarks.stats.resample import Bootstrap, settings_of
from benchmarks.timing.costs import Timing, time_all
from export import option_limits as limits
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.files import check_writable, real_path, write_text

NUMBERS = {
    **TIMING,
    "threads": limits.THREADS,
    "workers": limits.WORKERS,
    "resamples": RESAMPLES,
    "seed": limits.SEED,
    "batch": limits.BATCH,
    "sheets": limits.Allowed(0, 100, "0: none"),
}


@command(stopped="the same command goes on with the answers it has", extra=EXTRA)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 none fails, 1 one does, 2 wrong use.
    """
    options = _parser().parse_args(arguments)
    take_list_of_config(options)
    take_signals()
    results, logits, sheets = run(options)
    results["logits"] = write_logits(options.out, logits)
    results["sheets"] = write_sheets(options.out, sheets)
    write_text(options.out, dump(results))
    write_summary(summary_path(options.out), results)
    names, _ = chosen_names(options.perturb)
    if not names:
        shutil.rmtree(answer_cache_folder(options.out), ignore_errors=True)
    for sentence in gate_sentences(results):
        print(sentence)
    print(f"written: {options.out}")
    if options.report is not None:
        from benchmarks.report.__main__ import study_of_the_same, write_report
        from benchmarks.report.sections.repeated import study_sentences

        write_report(options.out, options.report)
        study = study_of_the_same(results) if len(results["pairs"]) == 1 else None
        for sentence in () if study is None else study_sentences(results, study):
            print(sentence)
        print(f"the report: {options.report / 'index.html'} (as text: {options.report}/report.md)")
    status = exit_status(
        options,
        overall=overall(results),
        verdicts=[row["verdict"]["verdict"] for row in results["cells"]],
        failure="a deployment fails the gate",
    )
    if names:
        folder, cache = perturbed_folder(options.out), answer_cache_folder(options.out)
        found = measure_into(folder, options, names=names, count=0, cache=cache)
        shutil.rmtree(cache, ignore_errors=True)
        status |= verdict_status(found, options)
    return status


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.gain",
        description="Compare baseline and student in every deployment: is the gain still there?",
        epilog="Exit status: 0 all pass or are inconclusive, 1 one fails, 2 wrong use.",
    )
    add = parser.add_argument
    add_models(parser)
    add_clips(parser)
    add_out(parser, "reports/gain/results.json")
    add_deployments(parser, default="all that run here")
    add_rule(parser)
    add("--require", action="append", default=[], metavar="NAME=POINTS",
        help="a further condition, shown with its whole interval, in percentage points: "
        f"{', '.join(CONDITIONS)}; may be repeated (docs/gate.md); with --perturb also "
        f"{', '.join(PERTURBED)}, as of `python -m benchmarks.perturb`")  # fmt: skip
    add("--perturb", nargs="+", default=[], metavar="NAME",
        help="afterwards also on perturbed clips, as `python -m benchmarks.perturb`: "
        f"{ALL}, {', '.join(PERTURBATIONS)}; into the folder `perturbed` beside --out")  # fmt: skip
    add("--sheets", type=int, default=6, metavar="NUMBER",
        help="clips of each kind of flip whose frames the report shows; 0: none "
        "(default: %(default)s)")  # fmt: skip
    add("--report", type=Path, metavar="FOLDER", help="write the report too, whatever the verdict")
    add_exit(parser)
    add_work(parser)
    add("--no-latency", action="store_true", help="compare answers only, time nothing")
    add("--batch", type=int, default=8, help="clips a call when throughput is measured")
    add("--seconds", type=float, default=60.0,
        help="how long latency is timed, and again throughput (default: %(default)g)")  # fmt: skip
    add("--repetitions", type=int, default=5, help="repetitions whose spread is reported")
    add("--seed", type=int, default=0, help="seed of the resampling and the order of timing")
    add_resamples(parser)
    return parser


def answer_cache_folder(out: Path) -> Path:
    """Where answers lie until the result is written."""
    return out.with_name(f".{out.name}.answers")


def perturbed_folder(out: Path) -> Path:
    """Where the result of `--perturb` lies."""
    return beside(out, "perturbed")


def _written(out: Path) -> tuple[Path, ...]:
    """The result file and all that is written beside it."""
    return out, logits_path(out), summary_path(out), sheets_path(out)


def run(options: argparse.Namespace) -> tuple[dict[str, Any], Logits, Sheets | None]:
    """Everything the command does but the writing.

    Returns:
        The result, JSON-ready; all logits; pictures of flipped clips, if they are wanted.
    """
    started, load_before = time.perf_counter(), machine.load_average()
    _check_numbers(options)
    for file in _written(options.out):
        check_writable(file)
    bundles = load_bundles(options)
    check_bundles(bundles)
    every = [bundle for model in MODELS for bundle in bundles[model]]
    choice = choose_deployments(
        every,
        backends=[name for names in options.backends for name in names],
        cells=[key for keys in options.cells for key in keys],
    )
    clips = read_listed(options, bundles)
    answered, datasets = answer_listed(
        clips,
        bundles,
        choice.cells,
        as_they_are(clips, answer_cache_folder(options.out), threads=options.threads),
        threads=options.threads,
        workers=options.workers,
        asked=choice.cells if options.cells else (),
    )
    example = answered.seen["student"][choice.reference.key][0]
    if len(example.failed) == len(example.paths):
        path, reason = example.failed[0]
        raise BenchmarkError(f"no clip of {clips.file} could be read; first {path}: {reason}")
    first = {model: bundles[model][0] for model in MODELS}
    controls = time_controls(
        first,
        choice.reference,
        {model: datasets[bundle.spec] for model, bundle in first.items()},
        threads=options.threads,
        workers=options.workers,
        seed=options.seed,
    )
    rule = Rule(options.keep / 100, options.margin / 100)
    bootstrap: Bootstrap = {
        "resamples": options.resamples,
        "seed": options.seed,
        "level": rule.level,
        "groups": clips.groups,
    }
    usable = [cell for cell in choice.cells if cell.key in answered.seen["student"]]
    require, _ = parse_requirements(options.require, others=PERTURBED)
    cells = cell_rows(bundles, usable, answered, rule, bootstrap, require)
    sheets = None
    if options.sheets:
        spec, keys = first["student"].spec, [cell.key for cell in usable]
        every_clip = datasets[spec] if clips.folds is None else clips.dataset(spec)
        sheets = contact_sheets(answered.seen, keys, every_clip, most=options.sheets)
    student_clips = datasets[first["student"].spec]
    layers = layer_record(first["student"], usable, student_clips, threads=options.threads)
    speed = None
    if not options.no_latency:
        speed = time_all(
            first["student"],
            usable,
            student_clips,
            Timing(options.batch, options.seconds, options.repetitions, options.seed),
            threads=options.threads,
            suffix=clips.suffix,
        )
    results = {
        **header(FORMAT, FORMAT_VERSION),
        "seconds": round(time.perf_counter() - started, 1),
        "rule": {
            "keep": rule.keep,
            "margin": rule.margin,
            "strict": options.strict,
            **({"require": require} if require else {}),
        },
        "conditions": {
            "machine": machine.machine(),
            "load_before": load_before,
            "load_after": machine.load_average(),
            "threads": options.threads,
            "timing_seconds": options.seconds,
            "repetitions": options.repetitions,
            "batch": options.batch,
            **settings_of(bootstrap),
        },
        "pairs": clips.pairs(bundles),
        **clips.folds_record(bundles),
        "data": {
            **data_record(clips.file, clips.root, clips.samples, example, every[0]),
            **clips.data,
        },
        **choice_record(choice, answered.left_out),
        "broken": [asdict(one) for one in answered.broken],
        "cells": cells,
        "controls": controls,
        "layers": layers,
        "speed": speed,
    }
    return results, logits_of(answered), sheets


def _check_numbers(options: argparse.Namespace) -> None:
    wrong = limits.number_problems(vars(options), NUMBERS)
    if options.seconds == 0:
        wrong.append("--seconds is 0; allowed: above 0")
    wrong += rule_problems(options)
    wrong += parse_requirements(options.require, others=PERTURBED)[1]
    wrong += problems_beside_gate(options, perturbed_folder(options.out))
    out = real_path(options.out)
    wrong += clips_problems(options)
    read = inputs(options)
    if out.is_dir() or any(one in (*_written(out), *out.parents) for one in read):
        wrong.append(f"--out is {options.out}; allowed: a file that is no input, in no bundle")
    if options.report is not None:
        wrong += limits.folder_problems("report", options.report)
        report = Path(os.path.realpath(options.report))
        if any(report == one or one in report.parents for one in read):
            wrong.append(f"--report is {options.report}; allowed: a folder that lies in no bundle")
    limits.refuse(wrong)


if __name__ == "__main__":
    run_and_exit(main)
