"""`python -m benchmarks.step_cost -c CONFIG`: what training as a pair costs.

A step of the pair, its networks one after the other, should cost little more than the steps of
its networks alone: at most 1.1 times. On a CPU with a core for each (`OMP_NUM_THREADS`) they run
at the same time, and what that saves is told. All are timed in one run, in turns, on the same
random clips. A step is normalisation, forward, loss, backward and optimiser.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from benchmarks.common.command import TIMING, add_config, add_timing, carry_out, measuring
from benchmarks.common.errors import BenchmarkError
from benchmarks.timing.latency import ratio, ratio_words
from benchmarks.training.steps import PAIR, build_steps, time_steps
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
    verdict = "within" if result["within_goal"] else "above"
    told = ratio_words(result, 3)
    print(f"{IN_TURN} / sum of its networks: {told}, {verdict} the goal of {GOAL}")
    at_once = result["at_once"]
    if at_once is None:
        print("networks at the same time: not here; there is no core for each of them")
    else:
        print(f"networks at the same time / in turn: {ratio_words(at_once, 3)}")
    return 0 if result["within_goal"] else 1


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Time all steps; JSON-ready."""
    from train.config.load import load_config
    from train.distill.at_once import VARIABLE, has_cores
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
    steps[IN_TURN] = variable(VARIABLE, "off")(steps[PAIR])
    if not at_once:
        del steps[PAIR]
    timings, record = time_steps(steps, cfg, options, "clipduet-step-cost")
    result = ratio(timings[IN_TURN], *(timings[name] for name in networks))
    return {
        **record,
        **result,
        "at_once": ratio(timings[PAIR], timings[IN_TURN]) if at_once else None,
        "goal": GOAL,
        "within_goal": result["ratio"] <= GOAL,
    }


if __name__ == "__main__":
    run_and_exit(main)
