"""What the labels say about a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from paddle import Tensor


@dataclass(frozen=True)
class Target:
    """The labels of a batch.

    Attributes:
        labels: int64 `[N]`.
        labels_b: int64 `[N]`, the second label of each mixed clip, or None.
        lam: float32 `[N]`, the share of `labels` in each mixed clip, or None.
        class_weights: float32 `[C]`, what the cross-entropy of each class weighs; None: 1.
    """

    labels: Tensor
    labels_b: Tensor | None = None
    lam: Tensor | None = None
    class_weights: Tensor | None = None

    def by_clip(self, of: Callable[[Tensor], Tensor]) -> Tensor:
        """`[N]` that `of` gives for the labels; a mixed clip counts both of its by their shares."""
        if self.labels_b is None or self.lam is None:
            return of(self.labels)
        return self.lam * of(self.labels) + (1 - self.lam) * of(self.labels_b)
