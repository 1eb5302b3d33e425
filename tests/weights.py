"""Weights that follow from a network's keys alone, as those of the reference files do."""

from __future__ import annotations

import zlib

import numpy as np


def reference_weight(key: str, shape: list[int]) -> np.ndarray:
    """float32 values from one generator a key; the batch norms are not fresh."""
    rng = np.random.default_rng(zlib.crc32(key.encode()))
    if key.endswith("_variance"):
        value = rng.uniform(0.5, 1.5, shape)
    elif key.endswith("_mean"):
        value = rng.normal(0, 0.1, shape)
    elif len(shape) == 1 and key.endswith("weight"):
        value = rng.uniform(0.5, 1.5, shape)
    elif key.endswith("bias"):
        value = rng.normal(0, 0.1, shape)
    else:
        fan = np.prod(shape[1:]) if len(shape) == 4 else shape[0]
        value = rng.normal(0, np.sqrt(2 / fan), shape)
    return value.astype(np.float32)
