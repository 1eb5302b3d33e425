"""Batch norms whose statistics are those of the whole batch, over all processes.

A share of 4 clips a process is too small to normalise by. The sums cross processes in the forward
pass and their gradients in the backward pass, so that the result is that of one process which sees
all clips (Peng et al., MegDet, 2018).
"""

from __future__ import annotations

from functools import partial
from typing import Any

import paddle
from paddle import Tensor, distributed, nn
from paddle.autograd import PyLayer

from train.models.layers import BATCH_NORMS


def synchronise(network: nn.Layer) -> None:
    """Let every batch norm in `network` that trains use the statistics of all processes.

    The layers stay what they are, their keys and checkpoints too.
    """
    for layer in network.sublayers():
        if isinstance(layer, BATCH_NORMS):
            layer.forward = partial(_forward, layer, layer.forward)


def _forward(layer: Any, alone: Any, inputs: Tensor) -> Tensor:
    """`[N, C, ...]` to the same shape."""
    if not layer.training:
        return alone(inputs)
    channels, rest = inputs.shape[1], [axis for axis in range(inputs.ndim) if axis != 1]
    along = [1, channels] + [1] * (inputs.ndim - 2)
    values = inputs.astype("float32")
    count = paddle.full([1], values.size // channels, "float32")
    # Of values far from 0, the mean of squares holds nothing of the variance any more. What is
    # left without a first mean does; to variance and gradient that mean is a constant.
    with paddle.no_grad():
        first = _summed(paddle.concat([values.sum(axis=rest), count]))
        first = first[:channels] / first[-1]
    near = values - first.reshape(along)
    sums = paddle.concat([near.sum(axis=rest), (near * near).sum(axis=rest), count])
    sums = _SumOverProcesses.apply(sums)
    mean = sums[:channels] / sums[-1]
    variance = sums[channels : 2 * channels] / sums[-1] - mean * mean
    with paddle.no_grad():
        kept = layer._momentum
        paddle.assign(kept * layer._mean + (1 - kept) * (first + mean), layer._mean)
        paddle.assign(kept * layer._variance + (1 - kept) * variance, layer._variance)
    scale = layer.weight.astype("float32") * paddle.rsqrt(variance + layer._epsilon)
    shift = layer.bias.astype("float32") - mean * scale
    result = near * scale.reshape(along) + shift.reshape(along)
    return result.astype(inputs.dtype)


def _summed(values: Tensor) -> Tensor:
    summed = values.clone()
    distributed.all_reduce(summed)
    return summed


class _SumOverProcesses(PyLayer):
    """A sum whose gradient is a sum: each process's loss depends on everybody's clips."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return _summed(values)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return _summed(gradient)
