"""Rounding that can be learned through: what Q/DQ nodes do, with a gradient.

Rounding has no slope; the straight-through estimator takes it for the identity inside the range,
and for a constant outside, where values are clipped (Bengio et al., 2013). The step of an
activation learns as well, with the gradient of learned step size quantisation (Esser et al., 2020).
"""

from __future__ import annotations

import math

import paddle
from paddle import Tensor


def round_weight(weight: Tensor, step: Tensor) -> Tensor:
    """A weight as whole steps stand for it; the gradient passes unchanged.

    Args:
        weight: float32, any shape.
        step: of each channel, for broadcasting; it does not learn.
    """
    with paddle.no_grad():
        correction = _rounded(weight / step) * step - weight
    return weight + correction


def round_bias(bias: Tensor, step: Tensor) -> Tensor:
    """The same for a bias of 32 bits, which may be too many steps for `_rounded`."""
    with paddle.no_grad():
        correction = paddle.round(bias / step) * step - bias
    return bias + correction


def round_activation(x: Tensor, log_step: Tensor, *, low: int, high: int) -> Tensor:
    """An activation as integers of `low` to `high` steps stand for it.

    Args:
        x: float32, any shape.
        log_step: float32 `[1]`, the natural logarithm of the step.
        low: smallest integer, the zero point taken off.
        high: largest integer, the zero point taken off.
    """
    # The step's gradient sums over every value of x: this brings it to the size of the others'.
    share = 1.0 / math.sqrt(x.size * high)
    damped = log_step * share + (log_step * (1.0 - share)).detach()
    step = damped.exp()
    inside = paddle.clip(x / step, low, high)
    return (inside + (_rounded(inside) - inside).detach()) * step


def _rounded(x: Tensor) -> Tensor:
    """Round to the nearest whole number, of two the even one, as runtimes do.

    `paddle.round` goes away from zero. Ties are common: half of all pixel values may lie on one.
    From 1.5 * 2 ** 23 on, neighbouring floats are 1 apart.
    """
    return (x + _ONES_APART) - _ONES_APART


_ONES_APART = 1.5 * 2.0**23
