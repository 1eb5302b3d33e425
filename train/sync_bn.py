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


def synchronise(network: nn.Layer) -> None:
    """Let every batch norm in ``network`` that trains use the statistics of all processes.

    The layers stay what they are, their keys and checkpoints too.
    """
    for layer in network.sublayers():
        if isinstance(layer, nn.BatchNorm2D):
            layer.forward = partial(_forward, layer, layer.forward)


def _forward(layer: nn.BatchNorm2D, alone: Any, inputs: Tensor) -> Tensor:
    """``[N, C, H, W]`` to the same shape."""
    if not layer.training:
        return alone(inputs)
    values = inputs.astype("float32")
    count = paddle.full([1], values.size // values.shape[1], "float32")
    sums = paddle.concat([values.sum(axis=[0, 2, 3]), (values * values).sum(axis=[0, 2, 3]), count])
    sums = _SumOverProcesses.apply(sums)
    channels = values.shape[1]
    mean = sums[:channels] / sums[-1]
    variance = sums[channels : 2 * channels] / sums[-1] - mean * mean
    with paddle.no_grad():
        kept = layer._momentum
        paddle.assign(kept * layer._mean + (1 - kept) * mean, layer._mean)
        paddle.assign(kept * layer._variance + (1 - kept) * variance, layer._variance)
    scale = layer.weight.astype("float32") * paddle.rsqrt(variance + layer._epsilon)
    shift = layer.bias.astype("float32") - mean * scale
    result = values * scale.reshape([1, -1, 1, 1]) + shift.reshape([1, -1, 1, 1])
    return result.astype(inputs.dtype)


class _SumOverProcesses(PyLayer):
    """A sum whose gradient is a sum: each process's loss depends on everybody's clips."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        summed = values.clone()
        distributed.all_reduce(summed)
        return summed

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        summed = gradient.clone()
        distributed.all_reduce(summed)
        return summed
