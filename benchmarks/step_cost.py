"""`python -m benchmarks.step_cost -c CONFIG`: what training as a pair costs.

A step of the pair should cost little more than the steps of its networks alone: at most 1.1
times. All are timed in one run, in turns, on the same random clips. A step is normalisation,
forward, loss, backward and optimiser.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import machine
from benchmarks.common.command import TIMING, WRONG_USE, add_config, add_timing, carry_out
from benchmarks.common.errors import BenchmarkError
from benchmarks.timing.latency import Timings, summarise, time_in_turns

if TYPE_CHECKING:
    from train.config import Config
    from train.recognizers import Recognizer

GOAL = 1.1
PAIR = "pair"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 within the goal, 1 above it, 2 wrong use."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.step_cost",
        description="Time a step of the pair against the steps of its networks alone.",
    )
    add = parser.add_argument
    add_config(parser, "configs/methods/dml.yaml")
    add_timing(parser)
    add("--seed", type=int, default=0, help="seed of weights and clips")
    options = parser.parse_args(arguments)
    result = carry_out(run, options, least=TIMING | {"seed": 0})
    if result is None:
        return WRONG_USE
    for name, row in result["steps"].items():
        print(f"{name:12s} {1000 * row['p50']:9.1f} ms a step ({row['calls']} steps)")
    low, high = result["ratio_spread"]
    verdict = "within" if result["within_goal"] else "above"
    print(f"pair / sum of its networks: {result['ratio']:.3f} ({low:.3f} to {high:.3f}), "
          f"{verdict} the goal of {GOAL}")  # fmt: skip
    return 0 if result["within_goal"] else 1


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Time all steps; JSON-ready."""
    from train.config import load_config

    cfg = load_config(options.config, options.override)
    if cfg.model["framework"] != "RecognizerDistillation":
        raise BenchmarkError(
            f"{options.config} trains one network; the cost of a pair needs a config with "
            "framework: RecognizerDistillation"
        )
    steps = build_steps(cfg, seed=options.seed)
    timings = time_in_turns(
        steps, budget=options.seconds, repetitions=options.repetitions, seed=options.seed
    )
    clips = cfg.DATASET.batch_size
    result = pair_ratio(timings)
    return {
        "format": "clipduet-step-cost",
        "format_version": 1,
        "created": machine.now(),
        "command": machine.command_line(),
        "config": options.config,
        "config_sha256": cfg.sha256(),
        "batch_size": clips,
        "machine": machine.machine(),
        "load": machine.load_average(),
        "steps": {name: summarise(timing, batch=clips) for name, timing in timings.items()},
        **result,
        "goal": GOAL,
        "within_goal": result["ratio"] <= GOAL,
    }


def pair_ratio(timings: dict[str, Timings]) -> dict[str, Any]:
    """Median step of the pair over the sum of the others' medians, and its spread."""
    alone = [timing for name, timing in timings.items() if name != PAIR]
    whole = float(np.median(timings[PAIR].all)) / sum(float(np.median(t.all)) for t in alone)
    each = [
        pair / sum(parts)
        for pair, *parts in zip(timings[PAIR].medians, *(t.medians for t in alone), strict=True)
    ]
    return {"ratio": whole, "ratio_spread": [min(each), max(each)]}


def build_steps(cfg: Config, *, seed: int) -> dict[str, Callable[[], object]]:
    """One training step of the pair, and of each of its networks alone, on the same clips."""
    from train.config import clip_spec
    from train.models.pixels import PixelInput
    from train.recognizers import build_recognizer

    preprocess = clip_spec(cfg, "train").preprocess
    pixels = PixelInput(preprocess.mean, preprocess.std)
    networks: dict[str, dict[str, Any]] = {}
    for entry in cfg.model["models"]:
        networks |= entry
    flags = cfg.model.get("freeze_params_list") or [False] * len(networks)
    whole = build_recognizer(cfg.model, seed=seed, pixels=pixels)
    steps: dict[str, Callable[[], object]] = {PAIR: training_step(cfg, whole, seed=seed)}
    for (role, block), frozen in zip(networks.items(), flags, strict=True):
        # The role keeps its loss to the labels; a frozen network only goes forward.
        alone = {
            **cfg.model,
            "models": [{role: block}],
            "freeze_params_list": [frozen],
            "loss": {
                mode: [
                    {"name": "DistillationCELoss", "model_name_pairs": [role, "GroundTruth"]},
                ]
                for mode in ("Train", "Val")
            },
        }
        name = role if role != PAIR else f"{role} alone"
        network = build_recognizer(alone, seed=seed, pixels=pixels)
        steps[name] = training_step(cfg, network, seed=seed)
    return steps


def training_step(cfg: Config, recognizer: Recognizer, *, seed: int) -> Callable[[], float]:
    """A function that takes one step on the same random clips each time and returns the loss."""
    import paddle

    from train.config import clip_spec
    from train.losses import Target
    from train.models.pixels import PixelInput
    from train.optim import build_optimizer
    from train.precision import build_precision

    spec = clip_spec(cfg, "train")
    rng = np.random.default_rng(seed)
    batch = cfg.DATASET.batch_size
    clips = rng.integers(0, 256, (batch, *spec.clip_shape), dtype=np.uint8)
    labels = rng.integers(0, cfg.class_num, batch)
    pixels = PixelInput(spec.preprocess.mean, spec.preprocess.std)
    precision = build_precision(cfg, note=lambda text: None)
    learning = bool(recognizer.trainable_parameters())
    optimizer = (
        build_optimizer(recognizer, cfg.optimizer, steps_per_epoch=1000, epochs=cfg.epochs)[0]
        if learning
        else None
    )
    recognizer.train()

    def step() -> float:
        target = Target(paddle.to_tensor(labels))
        with paddle.set_grad_enabled(learning):
            outputs = recognizer(pixels(paddle.to_tensor(clips)))
            # At the end of the run, when every ramp is up: the dearest step there is.
            loss = paddle.add_n(list(recognizer.losses(outputs, target, progress=1.0).values()))
        if optimizer is not None:
            precision.backward(loss)
            precision.update(optimizer, recognizer.parameter_groups())
        return float(loss)

    return step


if __name__ == "__main__":
    sys.exit(main())
