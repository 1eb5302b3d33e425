"""Training steps to time: of a pair, and of each of its networks alone, on random clips."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import machine
from benchmarks.common.result_file import header
from benchmarks.timing.latency import Timings, summarise, time_in_turns

if TYPE_CHECKING:
    from train.config.load import Config
    from train.distill.recognizers import Recognizer

PAIR = "pair"


def build_steps(cfg: Config, *, seed: int) -> dict[str, Callable[[], object]]:
    """One training step of the pair, and of each of its networks alone, on the same clips."""
    from train.distill.build_recognizer import build_recognizer
    from train.models.pixels import PixelInput

    preprocess = cfg.specs["train"].preprocess
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
            "averages": {},
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


def time_steps(
    steps: Mapping[str, Callable[[], object]], cfg: Config, options: argparse.Namespace, format: str
) -> tuple[dict[str, Timings], dict[str, Any]]:
    """Time steps in turns; their times, and what a result file of this format says of them."""
    timings = time_in_turns(
        steps, budget=options.seconds, repetitions=options.repetitions, seed=options.seed
    )
    clips = cfg.DATASET.batch_size
    return timings, {
        **header(format, 1),
        "config": options.config,
        "config_sha256": cfg.sha256(),
        "batch_size": clips,
        "machine": machine.machine(),
        "load": machine.load_average(),
        "steps": {name: summarise(timing, batch=clips) for name, timing in timings.items()},
    }


def training_step(cfg: Config, recognizer: Recognizer, *, seed: int) -> Callable[[], float]:
    """A function that takes one step on the same random clips each time and returns the loss."""
    import paddle

    from train.distill.at_once import detach
    from train.engine.optim import build_optimizer
    from train.engine.precision import build_precision
    from train.losses import Target
    from train.models.pixels import PixelInput

    spec = cfg.specs["train"]
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
            backward_networks = detach(outputs)
            # At the end of the run, when every ramp is up: the dearest step there is.
            loss = paddle.add_n(list(recognizer.losses(outputs, target, progress=1.0).values()))
        if optimizer is not None:
            precision.backward(loss)
            backward_networks()
            precision.update(optimizer, recognizer.parameter_groups())
        return float(loss)

    return step
