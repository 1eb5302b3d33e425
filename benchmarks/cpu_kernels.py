"""`python -m benchmarks.cpu_kernels -c CONFIG`: what our CPU kernels save in training.

A training step with this project's kernels (`train.models.cpu`) and with Paddle's, in turns in one
run, from the same weights on the same clips. The losses are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.common.command import TIMING, add_config, add_timing, carry_out, measuring
from benchmarks.common.errors import BenchmarkError
from benchmarks.timing.latency import ratio, ratio_words
from benchmarks.training.steps import time_steps, training_step
from export.option_limits import SEED, THREADS, number_problems, refuse
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.environment import variable

KERNELS = ("own", "paddle")
SWITCH = "CLIPDUET_CPU_KERNELS"
NUMBERS = TIMING | {"seed": SEED, "threads": THREADS}
SAME_LOSS = 1e-3  # two steps in, the sums of two kernels have rounded differently


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.cpu_kernels",
        description="Time a training step with our CPU kernels and with Paddle's.",
    )
    add = parser.add_argument
    add_config(parser, "configs/motions_baseline.yaml")
    add_timing(parser)
    add("--threads", type=int, default=1, help="threads of both kernels (default: %(default)s)")
    add("--seed", type=int, default=0, help="seed of weights and clips")
    options = parser.parse_args(arguments)
    refuse(number_problems(vars(options), NUMBERS))
    # Before Paddle and Numba are imported: the same for both kernels.
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ[name] = str(options.threads)
    result = carry_out(run, options, allowed=NUMBERS)
    for name, row in result["steps"].items():
        print(f"{name:7s} {1000 * row['p50']:9.1f} ms a step ({row['calls']} steps)")
    print(f"own / paddle: {ratio_words(result, 3)}")
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Time both kernels; JSON-ready."""
    from paddle import nn

    from train.config.load import load_config
    from train.distill.build_recognizer import build_recognizer
    from train.process import prepare_process

    prepare_process()
    cfg = load_config(options.config, options.override)
    steps: dict[str, Callable[[], object]] = {}
    losses = {}
    for kernel in KERNELS:
        recognizer = build_recognizer(cfg.model, seed=options.seed)
        # No dropout draw may differ.
        for layer in recognizer.sublayers():
            if isinstance(layer, nn.Dropout):
                layer.p = 0.0
        step = variable(SWITCH, kernel)(training_step(cfg, recognizer, seed=options.seed))
        losses[kernel] = [step(), step()]  # the second one has seen the gradients of the first
        steps[kernel] = step
    if not np.allclose(losses["own"], losses["paddle"], rtol=SAME_LOSS):
        raise BenchmarkError(f"the kernels do not compute the same: losses {losses}")
    timings, record = time_steps(steps, cfg, options, "clipduet-cpu-kernels")
    return {**record, **ratio(timings["own"], timings["paddle"])}


if __name__ == "__main__":
    run_and_exit(main)
