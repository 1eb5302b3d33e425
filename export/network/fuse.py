"""Fold what only training needs into the convolutions: branches, batch norms, dropout's factor.

In evaluation all of it is linear, so the fused network computes the same with fewer nodes. Every
fold is computed in float64 and rounded once.
"""

from __future__ import annotations

import copy

import numpy as np
import paddle
from paddle import nn

from train.models import pptsm_mobilenet_v3, pptsm_v2
from train.models.heads import PPTSMHead
from train.models.layers import ConvBNAct

_WITH_DROPOUT = (pptsm_v2.PPTSMv2, pptsm_mobilenet_v3.PPTSMMobileNetV3)


def fuse(network: nn.Sequential) -> nn.Sequential:
    """A copy of a network for inference, in evaluation mode.

    No batch norm, no parallel depthwise branches and no dropout are left in it; every convolution
    that a batch norm followed has a bias. The network itself is not changed.

    Args:
        network: `Sequential(backbone, head)` of `train.models.build_network`.

    Raises:
        TypeError: a batch norm stands where nothing is known to fold it into.
    """
    fused = copy.deepcopy(network)
    fused.eval()
    for layer in fused.sublayers(include_self=True):
        if isinstance(layer, pptsm_v2.DepthwiseSeparable) and layer.rep and not layer.fused:
            _fold_branches(layer)
    for layer in fused.sublayers(include_self=True):
        if isinstance(layer, ConvBNAct):
            _set(layer.convolution, *fold_batch_norm(layer.convolution, layer.norm))
            layer.replace_norm(nn.Identity())
        elif isinstance(layer, _WITH_DROPOUT):
            _fold_dropout(layer)
        elif isinstance(layer, PPTSMHead):
            layer.dropout = nn.Identity()
    left = [name for name, layer in fused.named_sublayers() if isinstance(layer, nn.BatchNorm2D)]
    if left:
        raise TypeError(f"no rule to fold these batch norms: {', '.join(left)}")
    fused.eval()
    return fused


def fold_batch_norm(conv: nn.Conv2D, norm: nn.BatchNorm2D) -> tuple[np.ndarray, np.ndarray]:
    """Weight `[out, in / groups, K, K]` and bias `[out]`, float64, of conv then batch norm."""
    gain = _float64(norm.weight) / np.sqrt(_float64(norm._variance) + norm._epsilon)
    bias = _float64(norm.bias) - _float64(norm._mean) * gain
    if conv.bias is not None:
        bias = bias + _float64(conv.bias) * gain
    return _float64(conv.weight) * gain[:, None, None, None], bias


def _fold_branches(layer: pptsm_v2.DepthwiseSeparable) -> None:
    """Add the branches up: a smaller kernel is a larger one with a border of zeros."""
    kernel = layer.dw_conv.weight.shape[-1]
    parts = [fold_batch_norm(part.convolution, part.norm) for part in layer.dw_conv_list]
    weight = np.zeros(layer.dw_conv.weight.shape, np.float64)
    for part, _ in parts:
        border = (kernel - part.shape[-1]) // 2
        end = kernel - border
        weight[:, :, border:end, border:end] += part
    _set(layer.dw_conv, weight, np.sum([bias for _, bias in parts], axis=0))
    del layer.dw_conv_list
    layer.fused = True


def _fold_dropout(layer: pptsm_v2.PPTSMv2 | pptsm_mobilenet_v3.PPTSMMobileNetV3) -> None:
    """Old dropout multiplies by 1 - p in evaluation; between it and `fc` there is only a mean."""
    if layer.last_conv is not None and layer.dropout.mode == "downscale_in_infer":
        keep = 1.0 - float(layer.dropout.p)
        layer.fc.weight.set_value((_float64(layer.fc.weight) * keep).astype(np.float32))
    layer.dropout = nn.Identity()


def _set(conv: nn.Conv2D, weight: np.ndarray, bias: np.ndarray) -> None:
    conv.weight.set_value(weight.astype(np.float32))
    if conv.bias is None:
        conv.bias = conv.create_parameter(list(bias.shape), is_bias=True)
    conv.bias.set_value(bias.astype(np.float32))


def _float64(tensor: paddle.Tensor) -> np.ndarray:
    return tensor.numpy().astype(np.float64)
