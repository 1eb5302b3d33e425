"""The tiled depthwise kernel equals Paddle's, forward and backward."""

from __future__ import annotations

import os
import select
import signal

import numpy as np
import paddle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paddle.nn import functional as F

from train.models import depthwise
from train.models.convolution import conv2d


@settings(max_examples=25, deadline=None)
@given(
    batch=st.sampled_from([1, 3, 32, 33, 70]),
    channels=st.integers(1, 5),
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    kernel=st.sampled_from([1, 2, 3, 4, 5, 7]),
    stride=st.integers(1, 3),
    seed=st.integers(0, 1000),
)
def test_values_and_gradients_equal_paddle(
    batch: int, channels: int, height: int, width: int, kernel: int, stride: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    image = rng.normal(size=(batch, channels, height, width)).astype(np.float32)
    filters = rng.normal(size=(channels, 1, kernel, kernel)).astype(np.float32)
    results = []
    for tiled in (True, False):
        x, w = (paddle.to_tensor(a, stop_gradient=False) for a in (image, filters))
        if tiled:
            y = conv2d(x, w, None, stride=stride, padding=kernel // 2, groups=channels)
        else:
            y = F.conv2d(x, w, stride=stride, padding=kernel // 2, groups=channels)
        (y * y).sum().backward()
        results.append([t.numpy() for t in (y, x.grad, w.grad)])
    for own, paddles in zip(*results, strict=True):
        np.testing.assert_allclose(own, paddles, rtol=1e-4, atol=1e-4 * (1 + np.abs(paddles).max()))


def test_threads_share_the_channels_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    channels = 3 * depthwise.CHANNELS_A_THREAD + 1
    x = paddle.randn([33, channels, 6, 6])
    w = paddle.randn([channels, 1, 3, 3])
    x.stop_gradient = w.stop_gradient = False
    results = []
    for threads in (1, 2, 9):
        monkeypatch.setattr("numba.config.NUMBA_NUM_THREADS", threads)
        depthwise._pool.cache_clear()
        y = depthwise.depthwise_conv2d(x, w, stride=2, padding=1)
        (y * y).sum().backward()
        results.append([t.numpy().tobytes() for t in (y, x.grad, w.grad)])
        x.clear_gradient()
        w.clear_gradient()
    assert results[0] == results[1] == results[2]
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            depthwise.depthwise_conv2d(x, w, stride=2, padding=1)
            os.write(writer, b"done")
        finally:
            os._exit(0)
    os.close(writer)
    try:
        ended = select.select([reader], [], [], 60)[0] and os.read(reader, 4)
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(reader)
        depthwise._pool.cache_clear()
    assert ended == b"done", "a forked process waits for threads that it does not have"


def test_the_kernel_is_used_only_where_it_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    apply = depthwise._Depthwise.apply
    monkeypatch.setattr(
        depthwise._Depthwise, "apply", lambda *args: (calls.append(1), apply(*args))[1]
    )
    x, w = paddle.ones([1, 2, 4, 4]), paddle.ones([2, 1, 3, 3])
    conv2d(x, w, None, stride=1, padding=1, groups=2)
    assert len(calls) == 1
    with paddle.no_grad():
        y = conv2d(x, w, None, stride=1, padding=1, groups=2)
    assert len(calls) == 2 and y.stop_gradient
    monkeypatch.setenv("CLIPDUET_CPU_KERNELS", "paddle")
    conv2d(x, w, None, stride=1, padding=1, groups=2)
    assert len(calls) == 2
