"""`python -m benchmarks.perturb`: under another camera, is the gain there, and does INT8 retain it.

Baselines and students answer the same listed clips, as they are and perturbed: compressed by H.264,
with fewer frames, less resolution, less light, or noise. Stopped at any moment, the same command
goes on with the answers it has.
"""

from __future__ import annotations

import argparse
import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from benchmarks import EXTRA
from benchmarks.common.command import RESAMPLES, add_out, take_signals
from benchmarks.gate.options import (
    add_clips,
    add_deployments,
    add_exit,
    add_models,
    add_rule,
    add_work,
    clips_problems,
    inputs,
    rule_problems,
    take_list_of_config,
)
from benchmarks.perturb.cameras import ALL, PERTURBATIONS, chosen_names
from benchmarks.perturb.conditions import parse_requirements
from benchmarks.perturb.run import RESULT, measure_into, verdict_status
from benchmarks.stats.options import add_resamples
from export import option_limits as limits
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit

NUMBERS = {
    "threads": limits.THREADS,
    "workers": limits.WORKERS,
    "resamples": RESAMPLES,
    "seed": limits.SEED,
    "clips": limits.CLIPS_OR_ALL,
}


@command(stopped="the same command goes on with the answers it has", extra=EXTRA)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 nothing fails, 1 a verdict fails or something was not measured, 2 wrong use.
    """
    options = _parser().parse_args(arguments)
    take_list_of_config(options)
    names, wrong = chosen_names(options.perturb)
    wrong += limits.number_problems(vars(options), NUMBERS) + rule_problems(options)
    wrong += clips_problems(options) + parse_requirements(options.require, names)[1]
    if options.clips and options.folds is not None:
        wrong.append("--clips takes some clips of a list; allowed with --folds: 0, all of them")
    wrong += limits.folder_problems("out", options.out)
    out = Path(os.path.realpath(options.out))
    if any(one in (out, out / RESULT, *out.parents) for one in inputs(options)):
        wrong.append(f"--out is {options.out}; allowed: a folder that is no input, in no bundle")
    limits.refuse(wrong)
    take_signals()
    cache = options.out / ".answers"
    results = measure_into(options.out, options, names=names, count=options.clips, cache=cache)
    shutil.rmtree(cache, ignore_errors=True)
    return verdict_status(results, options)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.perturb",
        description="Compare baseline and student on perturbed clips: is the gain still there?",
        epilog="Exit status: 0 all pass or are inconclusive, 1 one fails, 2 wrong use.",
    )
    add = parser.add_argument
    add_models(parser)
    add_clips(parser)
    add("--perturb", nargs="+", default=[ALL], metavar="NAME",
        help=f"{', '.join(PERTURBATIONS)}, or {ALL} (default)")  # fmt: skip
    add("--clips", type=int, default=0, metavar="N",
        help="only so many clips, drawn within classes by --seed; 0 (default): all")  # fmt: skip
    add_out(parser, "reports/perturb")
    add_deployments(parser, default="ONNX Runtime in fp32 and int8")
    add_rule(parser)
    add("--require", action="append", default=[], metavar="NAME[=PERTURBATION,...]",
        help="a further condition for every deployment but the reference, under these "
        "perturbations or all: gain, that it is above zero, or retained, that at least --keep of "
        "the reference's gain is; may be repeated (docs/gate.md)")  # fmt: skip
    add_exit(parser)
    add_work(parser)
    add("--seed", type=int, default=0, help="seed of the perturbations and of the resampling")
    add_resamples(parser)
    return parser


if __name__ == "__main__":
    run_and_exit(main)
