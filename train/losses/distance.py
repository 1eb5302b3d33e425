"""The plain distance of two feature maps, as PaddleClas's UDML and PP-OCR add it to DML."""

from __future__ import annotations

from paddle import Tensor
from paddle.nn import functional as F

from train.losses.float32 import full_precision

MODES = {"l1": F.l1_loss, "l2": F.mse_loss, "smooth_l1": F.smooth_l1_loss}


@full_precision
def feature_distance(student: Tensor, teacher: Tensor, *, mode: str = "l2") -> Tensor:
    """Mean distance of two features; gradients flow into both networks.

    Args:
        student: float, any shape.
        teacher: float, the same shape.
        mode: `l1`, `l2` (squared) or `smooth_l1`.
    """
    return MODES[mode](student, teacher)
