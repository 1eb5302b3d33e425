"""Convolutions of small maps as a product equal Paddle's, forward and backward."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paddle.nn import functional as F

from train.models.convolution import Conv2D
from train.models.small_maps import (
    MAX_ENTRIES,
    MIN_IMAGES,
    MIN_IMAGES_A_PIXEL,
    is_small,
    product_conv2d,
)

ENOUGH = 9 * MIN_IMAGES_A_PIXEL


@settings(max_examples=40, deadline=None)
@given(
    images=st.integers(1, 5),
    channels=st.integers(1, 5),
    filters=st.integers(1, 5),
    height=st.integers(1, 4),
    width=st.integers(1, 4),
    kernel=st.sampled_from([1, 2, 3, 4, 5, 7]),
    stride=st.integers(1, 3),
    padding=st.integers(0, 3),
    depthwise=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_values_and_gradients_equal_paddle(
    images: int,
    channels: int,
    filters: int,
    height: int,
    width: int,
    kernel: int,
    stride: int,
    padding: int,
    depthwise: bool,
    seed: int,
) -> None:
    padding = max(padding, (kernel - min(height, width) + 1) // 2)  # at least one place
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(images, channels, height, width)).astype(np.float32)
    shape = (channels, 1) if depthwise else (filters, channels)
    weight = rng.normal(size=(*shape, kernel, kernel)).astype(np.float32)
    results = []
    for own in (True, False):
        x, w = (paddle.to_tensor(a, stop_gradient=False) for a in (image, weight))
        if own:
            y = product_conv2d(x, w, stride=stride, padding=padding)
        else:
            groups = channels if depthwise else 1
            y = F.conv2d(x, w, stride=stride, padding=padding, groups=groups)
        (y * y).sum().backward()
        results.append([t.numpy() for t in (y, x.grad, w.grad)])
    for ours, paddles in zip(*results, strict=True):
        assert ours.shape == paddles.shape
        np.testing.assert_allclose(
            ours, paddles, rtol=1e-4, atol=1e-4 * (1 + np.abs(paddles).max())
        )


@pytest.mark.parametrize(
    ("shape", "filters", "kernel", "small"),
    [
        ((ENOUGH, 8, 3, 3), 8, 3, True),
        ((ENOUGH - 1, 8, 3, 3), 8, 3, False),
        ((MIN_IMAGES, 8, 3, 3), 8, 1, True),
        ((MIN_IMAGES - 1, 8, 3, 3), 8, 1, False),
        ((ENOUGH, 8, 2, 5), 8, 3, False),
        ((ENOUGH, 1024, 3, 3), MAX_ENTRIES // (1024 * 81) + 1, 3, False),
        ((ENOUGH, 1024, 3, 3), MAX_ENTRIES // (1024 * 81) + 1, 1, True),
    ],
)
def test_a_product_is_made_of_many_images_with_few_pixels(
    shape: tuple[int, ...], filters: int, kernel: int, small: bool
) -> None:
    weight = paddle.zeros([filters, shape[1], kernel, kernel])
    assert is_small(paddle.zeros(list(shape)), weight) is small


@pytest.mark.parametrize("bias", [True, False])
def test_a_layer_gives_the_values_of_paddles(bias: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    layer = Conv2D(3, 4, 3, 2, bias=bias)
    x = paddle.randn([ENOUGH, 3, 3, 3])
    calls = []
    product = product_conv2d
    monkeypatch.setattr(
        "train.models.convolution.product_conv2d",
        lambda *args, **keywords: (calls.append(1), product(*args, **keywords))[1],
    )
    own = layer(x)
    assert calls == [1]
    monkeypatch.setenv("CLIPDUET_CPU_KERNELS", "paddle")
    np.testing.assert_allclose(own.numpy(), layer(x).numpy(), atol=1e-5)
    assert calls == [1]
