"""Automatic mixed precision, where the device has it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import paddle
from paddle import Tensor
from paddle.optimizer import Optimizer

from train.schema import Amp


class Precision:
    """How a step computes: the forward context, and backward with or without loss scaling.

    Attributes:
        dtype: ``float16`` or ``bfloat16`` while mixed precision is on, else None.
    """

    def __init__(self, dtype: str | None, level: str = "O1") -> None:
        self.dtype, self.level = dtype, level
        # bfloat16 has the range of float32: its gradients need no scaling.
        scaled = dtype == "float16"
        self._scaler = paddle.amp.GradScaler() if scaled else None

    def autocast(self) -> AbstractContextManager[Any]:
        """The context of the forward pass."""
        if self.dtype is None:
            return nullcontext()
        return paddle.amp.auto_cast(level=self.level, dtype=self.dtype)

    def step(self, loss: Tensor, optimizer: Optimizer) -> None:
        """Backward, optimiser step, gradients cleared."""
        if self._scaler is None:
            loss.backward()
            optimizer.step()
        else:
            self._scaler.scale(loss).backward()
            self._scaler.step(optimizer)
            self._scaler.update()
        optimizer.clear_grad()


def build_precision(amp: Amp, *, note: Callable[[str], None]) -> Precision:
    """The precision that the config asks for; on a CPU float32, and ``note`` is told so."""
    if not amp.enabled:
        return Precision(None)
    if not paddle.device.get_device().startswith("gpu"):
        note("amp is on in the config, but there is no GPU: training in float32")
        return Precision(None)
    return Precision(amp.dtype, amp.level)
