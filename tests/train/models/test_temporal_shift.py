"""The shift on a CPU gives Paddle's numbers, forward and backward."""

from __future__ import annotations

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paddle.nn import functional as F

from train.models.temporal_shift import temporal_shift


@settings(max_examples=60, deadline=None)
@given(
    clips=st.integers(1, 3),
    num_seg=st.integers(3, 17),
    channels=st.integers(1, 100),
    height=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_values_and_gradients_are_those_of_paddle(
    clips: int, num_seg: int, channels: int, height: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shape = (clips * num_seg, channels, height, 2)
    frames, factor = (rng.standard_normal(shape).astype(np.float32) for _ in range(2))
    found = []
    for shift in (
        lambda x: temporal_shift(x, num_seg),
        lambda x: F.temporal_shift(x, num_seg, 1.0 / num_seg),
    ):
        x = paddle.to_tensor(frames, stop_gradient=False)
        y = shift(x)
        (y * paddle.to_tensor(factor)).sum().backward()
        found.append((y.numpy(), x.grad.numpy()))
    for own, paddles in zip(*found, strict=True):
        np.testing.assert_array_equal(own, paddles)


def test_frames_that_do_not_lie_side_by_side_are_shifted_too() -> None:
    frames = paddle.randn([6, 4, 3, 5])
    turned = paddle.transpose(frames, [0, 1, 3, 2])
    expected = paddle.transpose(temporal_shift(frames, 3), [0, 1, 3, 2])
    np.testing.assert_array_equal(temporal_shift(turned, 3).numpy(), expected.numpy())


def test_half_of_the_channels_cannot_be_shifted() -> None:
    with pytest.raises(ValueError, match="shift_ratio"):
        temporal_shift(paddle.ones([4, 4, 2, 2]), 2)
