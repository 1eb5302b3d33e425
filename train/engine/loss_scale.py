"""A factor on the loss, without which small gradients would be 0 in float16.

As Paddle's ``GradScaler``, which cannot be used here: where a gradient overflows, as the first ones
are meant to, its message converts a tensor in a way that NumPy has not allowed since 2.4.
"""

from __future__ import annotations

from collections.abc import Sequence

import paddle
from paddle import Tensor

PATIENCE = 2000
"""Steps without an overflow after which the factor doubles, as in Paddle's scaler."""


class LossScale:
    """As large as gradients allow: halved where they overflow, and tried at double now and then.

    Attributes:
        factor: of the loss, a power of 2, which costs no precision.
        steps: how many in a row have not overflowed since the factor changed.
    """

    def __init__(self) -> None:
        self.factor, self.steps = 2.0**16, 0

    @paddle.no_grad()
    def unscale(self, gradients: Sequence[Tensor]) -> bool:
        """Divide gradients by the factor; whether all of them are finite.

        Processes that have added up their gradients all come to the same answer.
        """
        for gradient in gradients:
            gradient.scale_(1.0 / self.factor)
        finite = [paddle.isfinite(gradient).all() for gradient in gradients]
        return not finite or bool(paddle.stack(finite).all())

    def adapt(self, *, finite: bool) -> bool:
        """Take in how a step went; False if the factor cannot become smaller any more."""
        if not finite:
            self.factor, self.steps = self.factor / 2, 0
            return self.factor >= 1
        self.steps += 1
        if self.steps == PATIENCE:
            self.factor, self.steps = self.factor * 2, 0
        return True
