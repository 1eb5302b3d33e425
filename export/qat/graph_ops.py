"""The operators of our ONNX graphs in Paddle, differentiable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import paddle
from paddle import Tensor
from paddle.nn import functional as F

from train.models.convolution import conv2d

Values = Sequence[Any]
"""Inputs of a node: tensors, and arrays for what says shapes, axes and pads."""

Attributes = Mapping[str, Any]


def _conv(values: Values, attributes: Attributes) -> Tensor:
    x, weight, *rest = values
    bias = rest[0] if rest else None
    strides = list(attributes.get("strides", [1, 1]))
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    dilations = list(attributes.get("dilations", [1, 1]))
    groups = attributes.get("group", 1)
    square = weight.shape[2] == weight.shape[3] and strides[0] == strides[1]
    if square and dilations == [1, 1] and top == left == bottom == right:
        return conv2d(x, weight, bias, stride=strides[0], padding=top, groups=groups)
    return F.conv2d(
        x,
        weight,
        bias,
        stride=strides,
        padding=[top, bottom, left, right],
        dilation=dilations,
        groups=groups,
    )


def _pool(values: Values, attributes: Attributes, *, average: bool) -> Tensor:
    top, left, bottom, right = attributes.get("pads", [0, 0, 0, 0])
    settings = {
        "kernel_size": list(attributes["kernel_shape"]),
        "stride": list(attributes.get("strides", [1, 1])),
        "padding": [top, bottom, left, right],
        "ceil_mode": bool(attributes.get("ceil_mode", 0)),
    }
    if average:
        return F.avg_pool2d(
            values[0], **settings, exclusive=not attributes.get("count_include_pad", 0)
        )
    return F.max_pool2d(values[0], **settings)


def _reshape(values: Values, attributes: Attributes) -> Tensor:
    x, shape = values
    return x.reshape([x.shape[i] if n == 0 else n for i, n in enumerate(shape.tolist())])


def _pad(values: Values, attributes: Attributes) -> Tensor:
    """Zeros on both ends of each axis."""
    x, pads = values[:2]
    # Bytes are padded with their zero point, which is zero; `x` is not rounded yet.
    other = len(values) > 2 and not isinstance(values[2], np.ndarray) and values[2].any()
    if attributes.get("mode", b"constant") != b"constant" or other:
        raise NotImplementedError("pads with something else than zeros")
    begins, ends = np.split(np.asarray(pads), 2)
    for axis, (before, after) in enumerate(zip(begins.tolist(), ends.tolist(), strict=True)):
        parts = [x]
        for place, count in ((0, before), (len(parts), after)):
            if count:
                shape = list(x.shape)
                shape[axis] = count
                parts.insert(place if place == 0 else len(parts), paddle.zeros(shape, x.dtype))
        x = paddle.concat(parts, axis=axis) if len(parts) > 1 else x
    return x


def _slice(values: Values, attributes: Attributes) -> Tensor:
    x, starts, ends, axes, *steps = (values[0], *(v.tolist() for v in values[1:]))
    if steps and any(step != 1 for step in steps[0]):
        raise NotImplementedError("slices in steps")
    # The format's "to the end" is the largest integer there is.
    ends = [min(end, x.shape[axis]) for end, axis in zip(ends, axes, strict=True)]
    return paddle.slice(x, axes, starts, ends)


def _mean(values: Values, attributes: Attributes) -> Tensor:
    axes = attributes.get("axes") or values[1].tolist()
    return paddle.mean(values[0], axis=list(axes), keepdim=bool(attributes.get("keepdims", 1)))


OPERATORS: dict[str, Callable[[Values, Attributes], Tensor]] = {
    "Add": lambda v, a: v[0] + v[1],
    "AveragePool": lambda v, a: _pool(v, a, average=True),
    "Cast": lambda v, a: v[0].astype("float32"),
    "Clip": lambda v, a: paddle.clip(v[0], float(v[1]), float(v[2])),
    "Concat": lambda v, a: paddle.concat(list(v), axis=a["axis"]),
    "Conv": _conv,
    "GlobalAveragePool": lambda v, a: paddle.mean(v[0], axis=[2, 3], keepdim=True),
    "HardSigmoid": lambda v, a: F.hardsigmoid(v[0], a.get("alpha", 0.2), a.get("beta", 0.5)),
    "HardSwish": lambda v, a: F.hardswish(v[0]),
    "LeakyRelu": lambda v, a: F.leaky_relu(v[0], a.get("alpha", 0.01)),
    "MatMul": lambda v, a: paddle.matmul(v[0], v[1]),
    "MaxPool": lambda v, a: _pool(v, a, average=False),
    "Mul": lambda v, a: v[0] * v[1],
    "Pad": _pad,
    "ReduceMean": _mean,
    "Relu": lambda v, a: F.relu(v[0]),
    "Reshape": _reshape,
    "Sigmoid": lambda v, a: F.sigmoid(v[0]),
    "Slice": _slice,
    "Sub": lambda v, a: v[0] - v[1],
    "Transpose": lambda v, a: paddle.transpose(v[0], list(a["perm"])),
}
