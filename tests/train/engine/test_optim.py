"""Rates over the run, and which parameters decay or learn faster."""

from __future__ import annotations

import math
from typing import Any

import paddle
import pytest

from train.distill.build_recognizer import build_recognizer
from train.engine.optim import build_optimizer, build_schedule

WARMUP_COSINE = {
    "name": "CustomWarmupCosineDecay",
    "cosine_base_lr": 0.5,
    "warmup_epochs": 2,
    "warmup_start_lr": 0.1,
    "max_epoch": None,
    "iter_step": True,
}


def test_warm_up_climbs_to_the_cosine_of_the_whole_run() -> None:
    rate = build_schedule(WARMUP_COSINE, steps_per_epoch=10, epochs=8)
    meet = 0.25 * (1 + math.cos(math.pi * 2 / 8))
    assert rate(0) == pytest.approx(0.1)
    assert rate(10) == pytest.approx((0.1 + meet) / 2)
    assert rate(20) == pytest.approx(meet)
    assert rate(40) == pytest.approx(0.25)
    assert rate(80) == pytest.approx(0)


def test_a_rate_by_epoch_changes_with_epochs_only() -> None:
    rate = build_schedule({**WARMUP_COSINE, "iter_step": False}, steps_per_epoch=10, epochs=8)
    assert rate(30) == rate(39) != rate(40)


@pytest.mark.parametrize("name", ["Momentum", "AdamW"])
def test_norms_and_biases_do_not_decay_and_the_head_learns_faster(name: str) -> None:
    """With a gradient of zero only decay moves a weight; with one of ones, the rate does."""
    model = {
        "framework": "Recognizer2D",
        "backbone": {"name": "ResNetTweaksTSM", "depth": 18, "width": 0.125, "num_seg": 4},
        "head": {"name": "ppTSMHead", "num_classes": 3, "in_channels": 64, "num_seg": 4},
    }
    recognizer = build_recognizer(model, seed=0)
    block: dict[str, Any] = {
        "name": name,
        "learning_rate": {"name": "Constant", "learning_rate": 0.1},
        "weight_decay": {"name": "L2", "value": 0.5},
        "grad_clip": None,
        "momentum": 0.0,
        "use_nesterov": False,
        "beta1": 0.9,
        "beta2": 0.999,
        "epsilon": 1e-8,
        "no_weight_decay_name": "",
    }
    optimizer, _ = build_optimizer(recognizer, block, steps_per_epoch=1, epochs=1)
    before = {key: value.numpy() for key, value in recognizer.named_parameters()}
    paddle.add_n([(p * 0).sum() for p in recognizer.parameters()]).backward()
    optimizer.step()
    optimizer.clear_grad()
    after = {key: value.numpy() for key, value in recognizer.named_parameters()}
    for key, old in before.items():
        if old.ndim == 1:
            assert (after[key] == old).all(), key
        elif "fc" not in key:
            assert after[key] == pytest.approx(0.95 * old, rel=1e-4, abs=1e-7), key
    rates = {
        key: value.optimize_attr["learning_rate"] for key, value in recognizer.named_parameters()
    }
    fast = {key: rate for key, rate in rates.items() if rate != 1.0}
    assert fast == {"head.fc.weight": 5.0, "head.fc.bias": 10.0}
