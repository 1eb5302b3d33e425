"""`python -m benchmarks.step_cost -c CONFIG`: what training as a pair costs.

A step of the pair, its networks one after the other, should cost little more than the steps of
its networks alone: at most 1.1 times. On a CPU with a core for each (`OMP_NUM_THREADS`) they run
at the same time, and what that saves is told. All are timed in one run, in turns, on the same
random clips. A step is normalisation, forward, loss, backward and optimiser.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from benchmarks.common import machine
from benchmarks.common.command import TIMING, add_config, add_timing, carry_out, measuring
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import header
from benchmarks.timing.latency import ratio, summarise, time_in_turns
from benchmarks.training.steps import PAIR, build_steps
from export.option_limits import SEED
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.environment import variable

GOAL = 1.1
IN_TURN = "pair, in turn"


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 within the goal, 1 above it, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.step_cost",
        description="Time a step of the pair against the steps of its networks alone.",
    )
    add = parser.add_argument
    add_config(parser, "configs/methods/dml.yaml")
    add_timing(parser)
    add("--seed", type=int, default=0, help="seed of weights and clips")
    options = parser.parse_args(arguments)
    result = carry_out(run, options, allowed=TIMING | {"seed": SEED})
    for name, row in result["steps"].items():
        print(f"{name:12s} {1000 * row['p50']:9.1f} ms a step ({row['calls']} steps)")
    low, high = result["ratio_spread"]
    verdict = "within" if result["within_goal"] else "above"
    print(f"{IN_TURN} / sum of its networks: {result['ratio']:.3f} ({low:.3f} to {high:.3f}), "
          f"{verdict} the goal of {GOAL}")  # fmt: skip
    at_once = result["at_once"]
    if at_once is None:
        print("networks at the same time: not here; there is no core for each of them")
    else:
        low, high = at_once["ratio_spread"]
        print(
            f"networks at the same time / in turn: {at_once['ratio']:.3f} ({low:.3f} to {high:.3f})"
        )
    return 0 if result["within_goal"] else 1


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Time all steps; JSON-ready."""
    from train.config.load import load_config
    from train.distill.at_once import has_cores
    from train.process import prepare_process

    prepare_process()
    cfg = load_config(options.config, options.override)
    if cfg.model["framework"] != "RecognizerDistillation":
        raise BenchmarkError(
            f"{options.config} trains one network; the cost of a pair needs a config with "
            "framework: RecognizerDistillation"
        )
    steps = build_steps(cfg, seed=options.seed)
    networks = [name for name in steps if name != PAIR]
    at_once = has_cores(len(networks))
    steps[IN_TURN] = partial(_in_turn, steps[PAIR])
    if not at_once:
        del steps[PAIR]
    timings = time_in_turns(
        steps, budget=options.seconds, repetitions=options.repetitions, seed=options.seed
    )
    clips = cfg.DATASET.batch_size
    result = ratio(timings[IN_TURN], *(timings[name] for name in networks))
    return {
        **header("clipduet-step-cost", 1),
        "config": options.config,
        "config_sha256": cfg.sha256(),
        "batch_size": clips,
        "machine": machine.machine(),
        "load": machine.load_average(),
        "steps": {name: summarise(timing, batch=clips) for name, timing in timings.items()},
        **result,
        "at_once": ratio(timings[PAIR], timings[IN_TURN]) if at_once else None,
        "goal": GOAL,
        "within_goal": result["ratio"] <= GOAL,
    }


def _in_turn(step: Callable[[], object]) -> object:
    from train.distill.at_once import VARIABLE

    with variable(VARIABLE, "off"):
        return step()


if __name__ == "__main__":
    run_and_exit(main)
