"""Convolutions of small feature maps as one matrix product, for training and validation on a CPU.

Paddle's CPU kernel multiplies matrices image by image, and those of a map of a few pixels are
tiny. Here all images of the batch are multiplied at once. A 1 x 1 convolution is a product over
the channels anyway. A larger filter becomes the matrix of what every pixel of the input adds to
every pixel of the output: on maps that are hardly larger than the filter few of its entries are
zero. Measured by `python -m benchmarks.cpu_kernels`. Values equal `F.conv2d` up to the rounding of
the sums.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import paddle
from paddle import Tensor

from train.models.cpu import takes_arrays

MAX_PIXELS = 9
"""Of a map; above this, a product computes too many zeros, and Paddle's are no longer tiny."""

MIN_IMAGES = 32
"""Below this, making the matrix takes longer than it saves."""

MAX_ENTRIES = 1 << 22
"""Of the matrix, 16 MiB."""


def is_small(x: Tensor, weight: Tensor) -> bool:
    """Whether `product_conv2d` is the faster one for images float32 `[N, C, H, W]`."""
    images, channels, height, width = x.shape
    pixels = height * width
    if not takes_arrays(x) or pixels > MAX_PIXELS or images < MIN_IMAGES:
        return False
    return weight.shape[0] * channels * pixels**2 <= MAX_ENTRIES or _is_pointwise(weight)


def product_conv2d(x: Tensor, weight: Tensor, *, stride: int, padding: int) -> Tensor:
    """Convolve all images with all filters.

    Args:
        x: float32 `[N, C, H, W]`.
        weight: float32 `[O, C, K, K]`, or `[C, 1, K, K]`: one filter a channel.
        stride: the same in both directions.
        padding: zeros on every side.

    Returns:
        float32 `[N, O, H', W']` with `H' = (H + 2 * padding - K) // stride + 1`.
    """
    images, channels, height, width = x.shape
    filters, depth, kernel, _ = weight.shape
    if _is_pointwise(weight) and padding == 0 and depth == channels:
        return _pointwise(x[:, :, ::stride, ::stride] if stride > 1 else x, weight)
    rows, columns = ((size + 2 * padding - kernel) // stride + 1 for size in (height, width))
    taps = paddle.reshape(weight, [filters * depth, kernel * kernel])
    # Made by a product too: the gradient of an indexing would be added up entry by entry.
    matrix = paddle.matmul(taps, _meetings(height, width, kernel, stride, padding))
    pixels, places = height * width, rows * columns
    if depth == channels:
        matrix = paddle.reshape(matrix, [filters, channels, pixels, places])
        matrix = paddle.transpose(matrix, [1, 2, 0, 3])
        matrix = paddle.reshape(matrix, [channels * pixels, filters * places])
        y = paddle.matmul(paddle.reshape(x, [images, channels * pixels]), matrix)
    else:
        by_channel = paddle.transpose(paddle.reshape(x, [images, channels, pixels]), [1, 0, 2])
        y = paddle.bmm(by_channel, paddle.reshape(matrix, [channels, pixels, places]))
        y = paddle.transpose(y, [1, 0, 2])
    return paddle.reshape(y, [images, filters, rows, columns])


def _is_pointwise(weight: Tensor) -> bool:
    return weight.shape[2] == weight.shape[3] == 1


def _pointwise(x: Tensor, weight: Tensor) -> Tensor:
    images, channels, height, width = x.shape
    pixels = paddle.transpose(paddle.reshape(x, [images, channels, height * width]), [0, 2, 1])
    y = paddle.matmul(
        paddle.reshape(pixels, [-1, channels]),
        paddle.reshape(weight, [-1, channels]),
        transpose_y=True,
    )
    y = paddle.transpose(paddle.reshape(y, [images, height * width, -1]), [0, 2, 1])
    return paddle.reshape(y, [images, -1, height, width])


@cache
def _meetings(height: int, width: int, kernel: int, stride: int, padding: int) -> Tensor:
    """Which tap of a filter meets which input pixel at which place of the output.

    Returns:
        float32 `[kernel * kernel, height * width * places]` of zeros and ones.
    """
    rows = _meetings_1d(height, kernel, stride, padding)
    columns = _meetings_1d(width, kernel, stride, padding)
    both = np.einsum("aip,bjq->abijpq", rows, columns)
    return paddle.to_tensor(both.reshape(kernel * kernel, -1))


def _meetings_1d(size: int, kernel: int, stride: int, padding: int) -> np.ndarray:
    """`[tap, pixel, place]`, one direction of `_meetings`."""
    tap, pixel, place = np.ogrid[:kernel, :size, : (size + 2 * padding - kernel) // stride + 1]
    return (pixel == place * stride - padding + tap).astype(np.float32)
