"""Depthwise convolution for training and validation on a CPU.

Paddle's CPU kernel for it runs on one thread, image by image, and takes most of a small
student's step. This one vectorises over the batch: each channel's images are gathered into a
`[H, W, LANES]` tile that stays in the cache, every output pixel is then a handful of
multiply-adds over contiguous lanes, forward and backward. Measured by
`python -m benchmarks.cpu_kernels`. Values equal `F.conv2d` up to the rounding of the sums.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import paddle
from paddle import Tensor
from paddle.autograd import PyLayer

from train.models.cpu import array_of, takes_arrays

LANES = 32
MAX_PIXELS = 32 * 32
"""Above this, the tile leaves the cache and Paddle's kernel is no slower."""
CHANNELS_A_THREAD = 16
"""At least; with fewer, handing them over takes longer than it saves."""


def takes_tiles(x: Tensor) -> bool:
    """Whether `depthwise_conv2d` takes images `[N, C, H, W]`, and is the faster one for them."""
    return takes_arrays(x) and x.shape[2] * x.shape[3] <= MAX_PIXELS


def depthwise_conv2d(x: Tensor, weight: Tensor, *, stride: int, padding: int) -> Tensor:
    """Convolve each channel with its own filter.

    Args:
        x: float32 `[N, C, H, W]`.
        weight: float32 `[C, 1, K, K]`.
        stride: the same in both directions.
        padding: zeros on every side.

    Returns:
        float32 `[N, C, H', W']` with `H' = (H + 2 * padding - K) // stride + 1`.
    """
    return _Depthwise.apply(x, weight, stride, padding)


class _Depthwise(PyLayer):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, stride: int, padding: int) -> Tensor:
        batch, channels, height, width = x.shape
        kernel = weight.shape[2]
        out = [(size + 2 * padding - kernel) // stride + 1 for size in (height, width)]
        y = paddle.empty([batch, channels, *out], dtype="float32")
        arrays = [array_of(t) for t in (x, weight, y)]
        _by_channels(partial(_forward, *arrays, stride, padding), channels)
        ctx.save_for_backward(x, weight)
        ctx.geometry = stride, padding
        ctx.learning = not x.stop_gradient, not weight.stop_gradient
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensor()
        dx, dweight = paddle.empty_like(x), paddle.empty_like(weight)
        arrays = [array_of(t) for t in (x, weight, grad, dx, dweight)]
        _by_channels(partial(_backward, *arrays, *ctx.geometry), x.shape[1])
        # Paddle refuses a gradient for what takes none, such as the weights of a frozen layer.
        return tuple(
            gradient if learning else None
            for gradient, learning in zip((dx, dweight), ctx.learning, strict=True)
        )


def _by_channels(kernel: Callable[[int, int], None], channels: int) -> None:
    """Call a kernel with the first of its channels and the one after its last.

    On `NUMBA_NUM_THREADS` threads of our own, which several networks may share: Numba's fallback
    without OpenMP ends a process in which two threads call it, and compiling for it takes longer.
    """
    parts = max(1, min(numba.config.NUMBA_NUM_THREADS, channels // CHANNELS_A_THREAD))
    bounds = [channels * part // parts for part in range(parts + 1)]
    others = [_pool().submit(kernel, *part) for part in pairwise(bounds[1:])]
    kernel(0, bounds[1])
    for other in others:
        other.result()


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(numba.config.NUMBA_NUM_THREADS, thread_name_prefix="depthwise")


# A forked process has the pool without its threads.
os.register_at_fork(after_in_child=_pool.cache_clear)


@numba.njit(fastmath=True, cache=True, nogil=True)
def _gather(tile: np.ndarray, images: np.ndarray, channel: int, first: int) -> None:
    count = min(LANES, images.shape[0] - first)
    if count < LANES:
        tile[:] = 0
    for n in range(count):
        for i in range(tile.shape[0]):
            for j in range(tile.shape[1]):
                tile[i, j, n] = images[first + n, channel, i, j]


@numba.njit(fastmath=True, cache=True, nogil=True)
def _scatter(tile: np.ndarray, images: np.ndarray, channel: int, first: int) -> None:
    for n in range(min(LANES, images.shape[0] - first)):
        for i in range(tile.shape[0]):
            for j in range(tile.shape[1]):
                images[first + n, channel, i, j] = tile[i, j, n]


@numba.njit(fastmath={"contract", "nsz"}, cache=True, nogil=True)
def _add_1(total: np.ndarray, x: np.ndarray, w: float) -> None:
    for j in range(total.shape[0]):
        for n in range(LANES):
            total[j, n] += w * x[j, n]


@numba.njit(fastmath={"contract", "nsz"}, cache=True, nogil=True)
def _add_3(
    total: np.ndarray, x: np.ndarray, y: np.ndarray, z: np.ndarray, u: float, v: float, w: float
) -> None:
    for j in range(total.shape[0]):
        for n in range(LANES):
            total[j, n] = ((total[j, n] + u * x[j, n]) + v * y[j, n]) + w * z[j, n]


@numba.njit(fastmath=True, cache=True, nogil=True)
def _forward(
    x: np.ndarray,
    weight: np.ndarray,
    y: np.ndarray,
    stride: int,
    padding: int,
    channel: int,
    end: int,
) -> None:
    """A row of the output at a time, which the compiler vectorises; the sums keep their order."""
    batch, _, height, width = x.shape
    kernel, out_h, out_w = weight.shape[2], y.shape[2], y.shape[3]
    for c in range(channel, end):
        # With its padding, and every `stride`-th column beside the one before: then the columns
        # that one weight meets lie side by side.
        columns = (width + 2 * padding + stride - 1) // stride
        x_tile = np.zeros((height + 2 * padding, stride, columns, LANES), np.float32)
        y_tile = np.empty((out_h, out_w, LANES), np.float32)
        for first in range(0, batch, LANES):
            for phase in range(stride):
                begin = (phase - padding) % stride
                images = x[:, :, :, begin::stride]
                at = (begin + padding) // stride
                inner = x_tile[padding : padding + height, phase, at : at + images.shape[3]]
                _gather(inner, images, c, first)
            for i in range(out_h):
                total = y_tile[i]
                total[:] = 0
                for a in range(kernel):
                    row = x_tile[i * stride + a]
                    b = 0
                    while b + 3 <= kernel:
                        _add_3(
                            total,
                            row[b % stride, b // stride :],
                            row[(b + 1) % stride, (b + 1) // stride :],
                            row[(b + 2) % stride, (b + 2) // stride :],
                            weight[c, 0, a, b],
                            weight[c, 0, a, b + 1],
                            weight[c, 0, a, b + 2],
                        )
                        b += 3
                    while b < kernel:
                        _add_1(total, row[b % stride, b // stride :], weight[c, 0, a, b])
                        b += 1
            _scatter(y_tile, y, c, first)


@numba.njit(fastmath=True, cache=True, nogil=True)
def _backward(
    x: np.ndarray,
    weight: np.ndarray,
    grad: np.ndarray,
    dx: np.ndarray,
    dweight: np.ndarray,
    stride: int,
    padding: int,
    channel: int,
    end: int,
) -> None:
    batch, _, height, width = x.shape
    kernel, out_h, out_w = weight.shape[2], grad.shape[2], grad.shape[3]
    for c in range(channel, end):
        x_tile = np.empty((height, width, LANES), np.float32)
        dx_tile = np.empty((height, width, LANES), np.float32)
        grad_tile = np.empty((out_h, out_w, LANES), np.float32)
        # One sum a lane, added up at the end: a scalar sum would not vectorise as well.
        dw_tile = np.zeros((kernel, kernel, LANES), np.float32)
        for first in range(0, batch, LANES):
            _gather(x_tile, x, c, first)
            _gather(grad_tile, grad, c, first)
            dx_tile[:] = 0
            for i in range(out_h):
                for j in range(out_w):
                    g = grad_tile[i, j]
                    for a in range(max(0, padding - i * stride), kernel):
                        row = i * stride + a - padding
                        if row >= height:
                            break
                        for b in range(max(0, padding - j * stride), kernel):
                            column = j * stride + b - padding
                            if column >= width:
                                break
                            factor = weight[c, 0, a, b]
                            pixel, dpixel = x_tile[row, column], dx_tile[row, column]
                            dw = dw_tile[a, b]
                            for n in range(LANES):
                                dpixel[n] += factor * g[n]
                                dw[n] += g[n] * pixel[n]
            _scatter(dx_tile, dx, c, first)
        for a in range(kernel):
            for b in range(kernel):
                dweight[c, 0, a, b] = dw_tile[a, b].sum()
