"""Losses are differences of nearly equal numbers: half precision would leave nothing of them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

import paddle
from paddle import Tensor

Loss = TypeVar("Loss", bound=Callable[..., Tensor])

HALVES = (paddle.float16, paddle.bfloat16)


def full_precision(loss: Loss) -> Loss:
    """Let a loss compute outside mixed precision, half-precision tensors widened to float32."""

    @functools.wraps(loss)
    def in_full_precision(*arguments: Any, **settings: Any) -> Tensor:
        with paddle.amp.auto_cast(enable=False):
            return loss(*map(in_float32, arguments), **settings)

    return in_full_precision  # type: ignore[return-value]


def in_float32(value: Any) -> Any:
    """Half-precision tensors, also those in a list, in float32; anything else as it is."""
    if isinstance(value, list):
        return [in_float32(item) for item in value]
    if isinstance(value, Tensor) and value.dtype in HALVES:
        return value.astype("float32")
    return value


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities. Paddle's own clips them at -64 on a CPU."""
    return logits - paddle.logsumexp(logits, axis=-1, keepdim=True)


def length(vectors: Tensor) -> Tensor:
    """Length along the last axis, kept; the root of 0 has the gradient 0 here."""
    squares = (vectors * vectors).sum(axis=-1, keepdim=True)
    away = squares > 0
    root = paddle.where(away, squares, paddle.ones_like(squares)).sqrt()
    return paddle.where(away, root, paddle.zeros_like(squares))
