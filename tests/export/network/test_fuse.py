"""Folding changes the number of nodes, not what the network computes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paddle import nn

from export.network.fuse import fuse
from export.verify.parity import VerificationError, check_fusion, randomise
from tests.weights import reference_weight
from train.models import build_network
from train.models.pptsm_v2 import DepthwiseSeparable, StageSettings

FRAMES = 8


def frames(seed: int = 0, size: int = 48) -> paddle.Tensor:
    values = np.random.default_rng(seed).normal(0, 1, (FRAMES, 3, size, size))
    return paddle.to_tensor(values.astype(np.float32))


def share(a: nn.Layer, b: nn.Layer, x: paddle.Tensor) -> float:
    """Largest difference of two outputs, as a share of the largest value."""
    with paddle.no_grad():
        first, second = a(x).numpy(), b(x).numpy()
    return float(np.abs(first - second).max() / np.abs(first).max())


@pytest.mark.parametrize("kind", ["single", "attention", "pair", "resnet"])
def test_fused_computes_the_same(kind: str, experiment: Callable[..., Any]) -> None:
    network = experiment(kind).recognizer.student
    before = {key: value.numpy() for key, value in network.state_dict().items()}
    fused = fuse(network)
    assert share(network, fused, frames()) < 1e-5
    assert any(isinstance(layer, nn.BatchNorm2D) for layer in network.sublayers())
    kinds = {type(layer).__name__ for layer in fused.sublayers()}
    assert not kinds & {"BatchNorm2D", "Dropout"}
    assert not fused.training
    # The network that was passed is as it was.
    after = {key: value.numpy() for key, value in network.state_dict().items()}
    assert before.keys() == after.keys()
    assert all(np.array_equal(before[key], after[key]) for key in before)


def test_networks_without_last_conv_and_with_other_dropout() -> None:
    for changes in ({"use_last_conv": False}, {"dropout_prob": 0.5}, {"dropout_prob": 0.0}):
        backbone = {"name": "PPTSM_v2", "num_seg": 4, "class_num": 3, "scale": 0.25, **changes}
        block = {"backbone": {**backbone, "depths": [1, 1, 1, 1]}, "head": {"name": "MoViNetHead"}}
        network = build_network(block)
        network.eval()
        randomise(network, seed=0)
        assert share(network, fuse(network), frames()) < 1e-5, changes


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**31),
    kernel=st.sampled_from([3, 5, 7]),
    stride=st.sampled_from([1, 2]),
    size=st.integers(5, 11),
)
def test_any_sum_of_branches_is_one_convolution(
    seed: int, kernel: int, stride: int, size: int
) -> None:
    stage = StageSettings(0, kernel, split_pw=False, rep=True, se=False, shortcut=False)
    block = DepthwiseSeparable(8, 16, stride, stage)
    block.eval()
    randomise(block, seed=seed)
    fused = fuse(nn.Sequential(block))
    assert fused[0].fused
    assert not hasattr(fused[0], "dw_conv_list")
    x = np.random.default_rng(seed).normal(0, 1, (2, 8, size, size)).astype(np.float32)
    assert share(block, fused, paddle.to_tensor(x)) < 1e-5


def test_the_check_notices_a_wrong_fold(experiment: Callable[..., Any]) -> None:
    network = experiment("single").recognizer.student
    fused = fuse(network)
    assert check_fusion(network, fused, frames()).share < 1e-5
    conv = next(layer for layer in fused.sublayers() if isinstance(layer, nn.Conv2D))
    conv.bias.set_value(conv.bias.numpy() + 0.01)
    with pytest.raises(VerificationError) as caught:
        check_fusion(network, fused, frames())
    for words in (
        "fused network",
        "[2, 5]",
        "allowed: 0.0001",
        "worst clip",
    ):
        assert words in str(caught.value)


def test_the_check_uses_other_statistics_than_the_trained_ones(
    experiment: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fold that ignores the variance is right on a fresh network, and must be found all the
    same."""
    model = experiment("single").cfg.model
    fresh = build_network({"backbone": model["backbone"], "head": model["head"]})
    fresh.eval()

    def forgetful(conv: nn.Conv2D, norm: nn.BatchNorm2D) -> tuple[np.ndarray, np.ndarray]:
        gain = norm.weight.numpy().astype(np.float64)
        bias = norm.bias.numpy() - norm._mean.numpy() * gain
        return conv.weight.numpy() * gain[:, None, None, None], bias

    monkeypatch.setattr("export.network.fuse.fold_batch_norm", forgetful)
    assert share(fresh, fuse(fresh), frames()) < 1e-4
    with pytest.raises(VerificationError, match="batch norms"):
        check_fusion(fresh, fuse(fresh), frames())


def test_the_public_networks_compute_their_reference_values_when_fused(shared: Path) -> None:
    cases = json.loads((shared / "reference" / "models.json").read_text())
    tried = 0
    for name, case in cases.items():
        if case["backbone"] != "PPTSM_v2":
            continue
        tried += 1
        names = ("num_seg", "class_num", "use_temporal_att")
        backbone = {"name": "PPTSM_v2", **{k: case[k] for k in names if k in case}}
        network = build_network({"backbone": backbone, "head": {"name": "MoViNetHead"}})
        network.eval()
        for key, value in network.state_dict().items():
            value.set_value(reference_weight(key.removeprefix("0."), list(value.shape)))
        size = case["size"]
        values = np.random.default_rng(0).normal(0, 1, (2, case["num_seg"], 3, size, size))
        x = paddle.to_tensor(values.astype(np.float32).reshape(-1, 3, size, size))
        with paddle.no_grad():
            found = fuse(network)(x).numpy()
        expected = np.asarray(case["logits"])
        assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max(), name
    assert tried
