"""Optimiser and learning rate from a config's OPTIMIZER block."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import paddle
from paddle.optimizer import Optimizer
from paddle.optimizer.lr import LambdaDecay
from paddle.regularizer import L2Decay

from train.distill.recognizers import Recognizer

Schedule = Callable[[int], float]
"""From the number of steps taken to the learning rate of the next one."""


def build_schedule(rate: Mapping[str, Any], *, steps_per_epoch: int, epochs: float) -> Schedule:
    """The learning rate as a function of the step.

    Args:
        rate: `OPTIMIZER.learning_rate`: `CustomWarmupCosineDecay`, `CosineAnnealingDecay`
            or `Constant`.
        steps_per_epoch: steps in one epoch.
        epochs: length of the run, where the block does not say when its cosine ends; whole
            unless a number of steps ends it.
    """

    def epoch_of(step: int) -> float:
        return step / steps_per_epoch if rate["iter_step"] else step // steps_per_epoch

    def cosine(epoch: float, top: float, bottom: float, end: float) -> float:
        return bottom + (top - bottom) * (1 + math.cos(math.pi * min(1.0, epoch / end))) / 2

    def warmup_cosine(step: int) -> float:
        # PaddleVideo's: the cosine runs from epoch 0 on, warm-up climbs to meet it.
        end, warmup = rate["max_epoch"] or epochs, rate["warmup_epochs"]
        epoch = epoch_of(step)
        if epoch >= warmup:
            return cosine(epoch, rate["cosine_base_lr"], 0.0, end)
        start, meet = rate["warmup_start_lr"], cosine(warmup, rate["cosine_base_lr"], 0.0, end)
        return start + (meet - start) * epoch / warmup

    if rate["name"] == "CustomWarmupCosineDecay":
        return warmup_cosine
    if rate["name"] == "CosineAnnealingDecay":
        end = rate["T_max"] or epochs
        return lambda step: cosine(epoch_of(step), rate["learning_rate"], rate["eta_min"], end)
    return lambda step: rate["learning_rate"]


def build_optimizer(
    recognizer: Recognizer, block: Mapping[str, Any], *, steps_per_epoch: int, epochs: float
) -> tuple[Optimizer, LambdaDecay]:
    """Build the optimiser of all trainable parameters, and its learning-rate scheduler.

    Batch norms and biases do not decay; single layers learn at their own multiple of the rate
    (`train.models.layers.tsm_linear`). Clipping is `train.engine.precision`'s.

    Args:
        recognizer: the networks.
        block: `OPTIMIZER` with all defaults (`train.config.load.Config.optimizer`).
        steps_per_epoch: steps in one epoch.
        epochs: length of the run.
    """
    schedule = build_schedule(
        block["learning_rate"], steps_per_epoch=steps_per_epoch, epochs=epochs
    )
    scheduler = LambdaDecay(learning_rate=1.0, lr_lambda=schedule)
    parameters = recognizer.trainable_parameters()
    decay = (block["weight_decay"] or {"value": 0.0})["value"]
    common = {"learning_rate": scheduler, "parameters": parameters}
    no_decay = {parameter.name for parameter in parameters if len(parameter.shape) == 1}
    if block["name"] == "Momentum":
        for parameter in parameters:
            if parameter.name in no_decay:
                parameter.regularizer = L2Decay(0.0)
        momentum = {key: block[key] for key in ("momentum", "use_nesterov")}
        return paddle.optimizer.Momentum(
            weight_decay=L2Decay(decay), **momentum, **common
        ), scheduler
    words = block["no_weight_decay_name"].split()
    no_decay |= {
        parameter.name
        for key, parameter in recognizer.named_parameters()
        if any(word in key for word in words)
    }
    for parameter in parameters:
        # AdamW decays weights itself; an L2 term in the gradient would be a second decay.
        parameter.regularizer = None
    betas = {key: block[key] for key in ("beta1", "beta2", "epsilon")}
    adamw = paddle.optimizer.AdamW(
        weight_decay=decay,
        apply_decay_param_fun=lambda name: name not in no_decay,
        **betas,
        **common,
    )
    return adamw, scheduler
