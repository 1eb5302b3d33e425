"""Pairs of tiny networks with terms of every kind, and steps of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import paddle
from paddle import nn

from tests.train.tiny import PAIR
from train.config.load import parse_model
from train.distill.build_recognizer import build_recognizer
from train.distill.recognizers import Recognizer
from train.engine.optim import build_optimizer
from train.losses import Target

S, T = "Student", "Teacher"


CE = {"name": "DistillationCELoss", "model_name_pairs": [S, "GroundTruth"]}


SECOND_CE = {**CE, "model_name_pairs": [T, "GroundTruth"]}


STAGES = ["backbone.stages.1.0.pw_conv.bn", "backbone.stages.3.0.pw_conv.act:input"]


BLOCKS = ["backbone.res3b.act:input", "backbone.res5b.act:input"]


NORMS = ["backbone.res3b.conv1._batch_norm", "backbone.res5b.conv1._batch_norm"]


TERMS: dict[str, dict[str, Any]] = {
    "kd": {"name": "DistillationKLDivLoss"},
    "js": {"name": "DistillationJSDivLoss"},
    "dkd": {"name": "DistillationDKDLoss", "temperature": 4.0, "beta": 8.0},
    "dist": {"name": "DistillationDISTLoss"},
    "rkd": {"name": "DistillationRKDLoss"},
    "rkd of embeddings": {
        "name": "DistillationRKDLoss",
        "s_key": "backbone.fc:input",
        "t_key": "backbone.res5b",
    },
    "distance": {"name": "DistillationDistanceLoss", "s_key": STAGES, "t_key": BLOCKS},
    "overhaul": {
        "name": "DistillationOverHaulLoss",
        "s_key": STAGES,
        "t_key": BLOCKS,
        "t_norm": NORMS,
        "loss_weight": 0.001,
    },
    "afd": {"name": "DistillationAFDLoss", "s_key": STAGES, "t_key": BLOCKS, "qk_dim": 16},
}


def model(*terms: dict[str, Any], frozen: bool = True, **changes: Any) -> dict[str, Any]:
    train = [{"model_name_pairs": [S, T], **term} for term in terms]
    return {
        **PAIR,
        "freeze_params_list": [frozen, False],
        "loss": {"Train": train, "Val": [CE]},
        **changes,
    }


def built(*terms: dict[str, Any], **changes: Any) -> Recognizer:
    recognizer = build_recognizer(parse_model(model(*terms, **changes)), seed=1)
    recognizer.train()
    return recognizer


def batch(clips: int = 3, size: int = 32) -> tuple[paddle.Tensor, Target]:
    rng = np.random.default_rng(0)
    frames = rng.normal(0, 1, (clips * 4, 3, size, size)).astype(np.float32)
    return paddle.to_tensor(frames), Target(paddle.to_tensor(np.arange(clips) % 3))


def state(layer: nn.Layer) -> dict[str, np.ndarray]:
    return {key: value.numpy().copy() for key, value in layer.state_dict().items()}


def step(recognizer: Recognizer, inputs: paddle.Tensor, target: Target) -> dict[str, float]:
    """One optimiser step for all, as the loop takes it."""
    rate = {"name": "Constant", "learning_rate": 0.01}
    block = {"name": "Momentum", "learning_rate": rate, "momentum": 0.0, "use_nesterov": False}
    optimizer, _ = build_optimizer(
        recognizer, {**block, "weight_decay": None}, steps_per_epoch=1, epochs=1
    )
    terms = recognizer.losses(recognizer(inputs, draw="x"), target)
    paddle.add_n(list(terms.values())).backward()
    optimizer.step()
    optimizer.clear_grad(set_to_zero=False)
    return {name: float(term) for name, term in terms.items()}


def hooks(network: nn.Layer) -> int:
    return sum(
        len(layer._forward_pre_hooks) + len(layer._forward_post_hooks)
        for layer in network.sublayers(include_self=True)
    )
