"""Convolutions with few channels have Paddle's values and gradients."""

from __future__ import annotations

import numpy as np
import paddle
import pytest

from train.models.convolution import Conv2D
from train.models.input_gradient import MAX_CHANNELS


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    from train.models import input_gradient

    found: list[int] = []
    own = input_gradient.same_conv2d
    monkeypatch.setattr(
        "train.models.convolution.same_conv2d", lambda *args: (found.append(1), own(*args))[1]
    )
    return found


@pytest.mark.parametrize("channels", [1, 5, MAX_CHANNELS])
@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("frozen", [False, True])
def test_values_and_gradients_equal_paddle(
    channels: int, kernel: int, frozen: bool, calls: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    paddle.seed(channels)
    layer = Conv2D(channels, 7, kernel, bias=True)
    layer.weight.stop_gradient = frozen
    x = paddle.randn([3, channels, 6, 11])
    x.stop_gradient = False
    results = []
    for kernels in ("own", "paddle"):
        monkeypatch.setenv("CLIPDUET_CPU_KERNELS", kernels)
        y = layer(x)
        y = layer(x) + y  # twice in one graph
        (y * y).sum().backward()
        gradients = [x.grad, layer.bias.grad] + ([] if frozen else [layer.weight.grad])
        results.append([t.numpy() for t in (y, *gradients)])
        x.clear_gradient()
        layer.clear_gradients()
    assert len(calls) == 2
    assert frozen is (layer.weight.grad is None)
    for own, paddles in zip(*results, strict=True):
        np.testing.assert_allclose(own, paddles, rtol=1e-4, atol=1e-5 * np.abs(paddles).max())


@pytest.mark.parametrize(
    ("channels", "filters", "kernel", "stride", "learns"),
    [
        (MAX_CHANNELS + 1, 4, 3, 1, True),
        (4, MAX_CHANNELS + 1, 3, 1, True),
        (4, 4, 1, 1, True),
        (4, 4, 3, 2, True),
        (4, 4, 3, 1, False),
    ],
)
def test_all_others_are_paddles(
    channels: int, filters: int, kernel: int, stride: int, learns: bool, calls: list[int]
) -> None:
    x = paddle.randn([2, channels, 6, 6])
    x.stop_gradient = not learns
    Conv2D(channels, filters, kernel, stride)(x)
    x.stop_gradient = False
    with paddle.no_grad():
        Conv2D(4, 4, 3)(paddle.randn([2, 4, 6, 6]))
    assert not calls
