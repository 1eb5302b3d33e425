"""What checkpoints of tests hold."""

from __future__ import annotations

import numpy as np
import paddle

WEIGHT = np.arange(12, dtype=np.float32).reshape(3, 4)


def layer() -> paddle.nn.Layer:
    return paddle.nn.Sequential(paddle.nn.Linear(3, 4), paddle.nn.BatchNorm1D(4))
