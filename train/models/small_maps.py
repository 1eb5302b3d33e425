"""Convolutions of small feature maps as one matrix product, for training and validation on a CPU.

Paddle's CPU kernel multiplies matrices image by image, and those of a map of a few pixels are
tiny. Here all images of the batch are multiplied at once. A 1 x 1 convolution is a product over
the channels anyway. A larger filter becomes the matrix of what every pixel of the input adds to
every pixel of the output: on maps that are hardly larger than the filter few of its entries are
zero. Measured by `python -m benchmarks.cpu_kernels`. Values equal `F.conv2d` up to the rounding of
the sums, for finite inputs.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import paddle
from paddle import Tensor

from train.models.cpu import takes_arrays

MAX_PIXELS = 9
"""Of a map; above this, many entries are zero, and Paddle's own matrices are no longer tiny."""

MIN_IMAGES = 32
"""Of a batch; below this, Paddle's kernel is no slower."""

MIN_IMAGES_A_PIXEL = 8
"""The same for filters larger than 1 x 1, for each pixel of a map: making the matrix takes time."""

MAX_ENTRIES = 1 << 22
"""Of the matrix, 16 MiB."""


def is_small(x: Tensor, weight: Tensor) -> bool:
    """Whether `product_conv2d` is the faster one for images float32 `[N, C, H, W]`."""
    images, _, height, width = x.shape
    pixels = height * width
    if not takes_arrays(x) or pixels > MAX_PIXELS or images < MIN_IMAGES:
        return False
    if _is_pointwise(weight):
        return True
    entries = weight.shape[0] * weight.shape[1] * pixels**2
    return images >= MIN_IMAGES_A_PIXEL * pixels and entries <= MAX_ENTRIES


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
    matrix = paddle.matmul(taps, _tap_matrix(height, width, kernel, stride, padding))
    pixels, outputs = height * width, rows * columns
    if depth == channels:
        matrix = paddle.reshape(matrix, [filters, channels, pixels, outputs])
        matrix = paddle.transpose(matrix, [1, 2, 0, 3])
        matrix = paddle.reshape(matrix, [channels * pixels, filters * outputs])
        y = paddle.matmul(paddle.reshape(x, [images, channels * pixels]), matrix)
    else:
        by_channel = paddle.transpose(paddle.reshape(x, [images, channels, pixels]), [1, 0, 2])
        y = paddle.bmm(by_channel, paddle.reshape(matrix, [channels, pixels, outputs]))
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
def _tap_matrix(height: int, width: int, kernel: int, stride: int, padding: int) -> Tensor:
    """Which tap of a filter lies on which input pixel for which output pixel.

    Returns:
        float32 `[kernel * kernel, input pixels * output pixels]` of zeros and ones.
    """
    rows = _taps_1d(height, kernel, stride, padding)
    columns = _taps_1d(width, kernel, stride, padding)
    both = np.einsum("aip,bjq->abijpq", rows, columns)
    return paddle.to_tensor(both.reshape(kernel * kernel, -1), place=paddle.CPUPlace())


def _taps_1d(size: int, kernel: int, stride: int, padding: int) -> np.ndarray:
    """`[tap, input pixel, output pixel]`, one direction of `_tap_matrix`."""
    tap, pixel, output = np.ogrid[:kernel, :size, : (size + 2 * padding - kernel) // stride + 1]
    return (pixel == output * stride - padding + tap).astype(np.float32)
