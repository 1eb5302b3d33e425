"""What tests of losses share."""

from __future__ import annotations

import numpy as np
import paddle


def np_log_softmax(z: np.ndarray) -> np.ndarray:
    z = z - z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


def tensor(array: np.ndarray, dtype: str = "float32") -> paddle.Tensor:
    return paddle.to_tensor(array.astype(np.float64)).astype(dtype)
