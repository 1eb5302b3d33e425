"""`python -m benchmarks.depthwise -c CONFIG`: what the tiled depthwise kernel saves in training.

A step of the student alone, with this project's CPU kernel and with Paddle's, in turns in one
run, from the same weights on the same clips. The losses are compared before anything is timed.
"""

from __future__ import annotations

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.errors import BenchmarkError
from benchmarks.latency import summarise, time_in_turns
from benchmarks.results import dump
from benchmarks.step_cost import training_step
from infer.errors import ClipDuetError
from infer.files import write_text

KERNELS = ("tiles", "paddle")
SWITCH = "CLIPDUET_DEPTHWISE"
SAME_LOSS = 1e-3  # two steps in, the sums of two kernels have rounded differently


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.depthwise",
        description="Time a student's training step with both depthwise kernels.",
    )
    add = parser.add_argument
    add("-c", "--config", default="configs/motions_baseline.yaml", help="default: %(default)s")
    add("--out", type=Path, help="result file (JSON)")
    add("--seconds", type=float, default=60.0, help="about how long to time")
    add("--repetitions", type=int, default=5, help="repetitions whose spread is reported")
    add("--seed", type=int, default=0, help="seed of weights and clips")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", message="No ccache found")
    try:
        result = run(options)
        if options.out:
            write_text(options.out, dump(result))
    except (ClipDuetError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for name, row in result["steps"].items():
        print(f"{name:7s} {1000 * row['p50']:9.1f} ms a step ({row['calls']} steps)")
    low, high = result["ratio_spread"]
    print(f"tiles / paddle: {result['ratio']:.3f} ({low:.3f} to {high:.3f})")
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Time both kernels; JSON-ready."""
    from train.config import load_config
    from train.recognizers import build_recognizer

    cfg = load_config(options.config)
    steps: dict[str, Callable[[], object]] = {}
    losses = {}
    for kernel in KERNELS:
        recognizer = build_recognizer(cfg.model, seed=options.seed)
        # No dropout draw may differ.
        recognizer.student[0].dropout.p = 0.0
        step = _with(kernel, training_step(cfg, recognizer, seed=options.seed))
        losses[kernel] = [step(), step()]  # the second one has seen the gradients of the first
        steps[kernel] = step
    if not np.allclose(losses["tiles"], losses["paddle"], rtol=SAME_LOSS):
        raise BenchmarkError(f"the kernels do not compute the same: losses {losses}")
    timings = time_in_turns(
        steps, budget=options.seconds, repetitions=options.repetitions, seed=options.seed
    )
    tiles, paddle = (timings[kernel] for kernel in KERNELS)
    each = [a / b for a, b in zip(tiles.medians, paddle.medians, strict=True)]
    clips = cfg.DATASET.batch_size
    return {
        "format": "clipduet-depthwise",
        "format_version": 1,
        "created": machine.now(),
        "command": machine.command_line(),
        "config": options.config,
        "config_sha256": cfg.sha256(),
        "batch_size": clips,
        "machine": machine.machine(),
        "load": machine.load_average(),
        "steps": {name: summarise(timing, batch=clips) for name, timing in timings.items()},
        "ratio": float(np.median(tiles.all)) / float(np.median(paddle.all)),
        "ratio_spread": [min(each), max(each)],
    }


def _with(kernel: str, step: Callable[[], float]) -> Callable[[], float]:
    def switched() -> float:
        os.environ[SWITCH] = kernel
        return step()

    return switched


if __name__ == "__main__":
    sys.exit(main())
