"""The two networks equal the public implementation: keys, shapes and outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest

from tests.weights import reference_weight
from train.config.schema.model import ResNetTweaksTSMBackbone
from train.models import build_network
from train.models.pptsm_v2 import DepthwiseSeparable


def network_of(case: dict[str, Any]) -> tuple[paddle.nn.Layer, str]:
    """The case's network and the prefix that its reference keys lack."""
    student = case["backbone"] == "PPTSM_v2"
    names = {"num_seg", "depth", "use_temporal_att"} | ({"class_num"} if student else set())
    backbone = {"name": case["backbone"], **{k: case[k] for k in names if k in case}}
    head: dict[str, Any] = {"name": "MoViNetHead"}
    if not student:
        head = {
            "name": "ppTSMHead",
            "num_classes": case["class_num"],
            "in_channels": ResNetTweaksTSMBackbone(**backbone).features,
            "num_seg": case["num_seg"],
        }
    return build_network({"backbone": backbone, "head": head}), "0." if student else ""


def test_networks_equal_the_public_ones(shared: Path) -> None:
    cases = json.loads((shared / "reference" / "models.json").read_text())
    for name, case in cases.items():
        network, prefix = network_of(case)
        own = {key.removeprefix(prefix): value for key, value in network.state_dict().items()}
        expected = {key: list(shape) for key, shape in case["keys"].items()}
        assert {key: list(value.shape) for key, value in own.items()} == expected, name
        for key, value in own.items():
            value.set_value(reference_weight(key, expected[key]))
        network.eval()
        size, frames = case["size"], 2 * case["num_seg"]
        x = np.random.default_rng(0).normal(0, 1, (2, case["num_seg"], 3, size, size))
        logits = network(paddle.to_tensor(x.astype(np.float32).reshape(frames, 3, size, size)))
        want = np.asarray(case["logits"])
        error = np.abs(logits.numpy() - want).max() / np.abs(want).max()
        assert error < 1e-5, (name, error)


@pytest.mark.parametrize("depth", [18, 34, 50, 101, 152])
def test_every_depth_runs_at_a_slim_width_and_twice_in_one_process(depth: int) -> None:
    backbone = {"name": "ResNetTweaksTSM", "depth": depth, "num_seg": 4, "width": 0.125}
    block = {
        "backbone": backbone,
        "head": {
            "name": "ppTSMHead",
            "num_classes": 3,
            "in_channels": ResNetTweaksTSMBackbone(**backbone).features,
            "num_seg": 4,
        },
    }
    for network in (build_network(block), build_network(block)):
        assert network(paddle.zeros([8, 3, 32, 32])).shape == [2, 3]


@pytest.mark.parametrize("attention", [False, True])
@pytest.mark.parametrize(("scale", "depths"), [(0.25, [1, 1, 2, 1]), (0.5, [1, 1, 1, 1])])
def test_student_runs_at_any_size(scale: float, depths: list[int], attention: bool) -> None:
    backbone = {
        "name": "PPTSM_v2",
        "scale": scale,
        "depths": depths,
        "num_seg": 4,
        "class_num": 5,
        "use_temporal_att": attention,
    }
    network = build_network({"backbone": backbone, "head": {"name": "MoViNetHead"}})
    network.eval()
    clips = paddle.randn([3 * 4, 3, 48, 48])
    together = network(clips).numpy()
    assert together.shape == (3, 5)
    alone = np.concatenate([network(clips[4 * i : 4 * i + 4]).numpy() for i in range(3)])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_the_folded_convolution_takes_no_gradient() -> None:
    backbone = {"name": "PPTSM_v2", "scale": 0.25, "depths": [1, 1, 1, 1], "num_seg": 4}
    network = build_network({"backbone": backbone, "head": {"name": "MoViNetHead"}})
    network(paddle.randn([8, 3, 32, 32])).sum().backward()
    blocks = [m for m in network.sublayers() if isinstance(m, DepthwiseSeparable) and m.rep]
    assert blocks
    for block in blocks:
        assert block.dw_conv.weight.grad is None
        assert all(branch.conv.weight.grad is not None for branch in block.dw_conv_list)
