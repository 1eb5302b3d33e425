"""What kernels of our own need on a CPU: when they may run, and a tensor's memory as an array."""

from __future__ import annotations

import os

import numpy as np
import paddle
from paddle import Tensor


def takes_arrays(x: Tensor) -> bool:
    """Whether a tensor is eager float32 on a CPU: a traced or exported graph holds Paddle's own.

    `CLIPDUET_CPU_KERNELS=paddle` in the environment turns our kernels off, to compare with them.
    """
    return bool(
        paddle.in_dynamic_mode()
        and x.place.is_cpu_place()
        and x.dtype == paddle.float32
        and os.environ.get("CLIPDUET_CPU_KERNELS", "own") != "paddle"
    )


def array_of(tensor: Tensor) -> np.ndarray:
    """View a CPU tensor's memory as an array, without a copy."""
    return np.from_dlpack(tensor.detach().contiguous())
