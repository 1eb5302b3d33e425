"""The MobileNet students equal PaddleVideo's: `mobilenets.json` is what its own code computed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from export.network.fuse import fuse
from tests.weights import reference_weight
from train.models import build_network

CASES = json.loads(Path(__file__).with_name("mobilenets.json").read_text())["cases"]


def filled(backbone: dict[str, Any]) -> paddle.nn.Sequential:
    """The network of a `backbone` block with the weights of the reference."""
    network = build_network({"backbone": backbone, "head": {"name": "MoViNetHead"}})
    for key, value in network.state_dict().items():
        value.set_value(reference_weight(key.removeprefix("0."), list(value.shape)))
    network.eval()
    return network


@pytest.mark.parametrize("name", CASES)
def test_keys_shapes_and_logits_are_paddlevideos(name: str) -> None:
    case = CASES[name]
    network = filled(case["backbone"])
    state = network[0].state_dict()
    lines = sorted(f"{key} {list(value.shape)}" for key, value in state.items())
    assert len(lines) == case["entries"]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == case["sha256"]
    size = case["size"]
    clips = np.random.default_rng(0).normal(0, 1, (2, case["num_seg"], 3, size, size))
    frames = paddle.to_tensor(clips.astype(np.float32).reshape(-1, 3, size, size))
    with paddle.no_grad():
        for computing in (network, fuse(network)):
            found = computing(frames).numpy()
            assert found.shape == (2, case["backbone"].get("class_num", 400))
            # Rounding of the large network of made-up weights comes to 1.5e-5.
            assert np.abs(found).max() == pytest.approx(case["largest"], rel=1e-4)
            assert np.abs(found[:, :8] - case["logits"]).max() < 1e-4 * case["largest"]


@pytest.mark.parametrize(
    "backbone",
    [
        {"name": "PPTSM_MobileNetV2", "scale": 0.125},
        {"name": "PPTSM_MobileNetV3", "scale": 0.25, "size": "small", "class_expand": 32},
    ],
)
def test_every_weight_learns_and_each_clip_is_alone(backbone: dict[str, Any]) -> None:
    block = {**backbone, "num_seg": 4, "class_num": 5}
    # PaddleVideo's MobileNetV2 has parameters of fixed names, which one process can use once.
    network, _ = (
        build_network({"backbone": block, "head": {"name": "MoViNetHead"}}) for _ in range(2)
    )
    clips = paddle.randn([3 * 4, 3, 64, 64])
    network(clips).square().sum().backward()
    still = [k for k, p in network.named_parameters() if p.trainable and p.grad is None]
    assert not still
    network.eval()
    together = network(clips).numpy()
    assert together.shape == (3, 5)
    alone = np.concatenate([network(clips[4 * i : 4 * i + 4]).numpy() for i in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    # The order of the frames counts: they are shifted into each other.
    mirrored = clips.reshape([3, 4, 3, 64, 64]).flip(1).reshape(clips.shape)
    assert np.abs(network(mirrored).numpy() - together).max() > 1e-4
