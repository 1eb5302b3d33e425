"""Logits as Z-scores: a student learns the teacher's relations, not the size of its logits.

After Sun et al., Logit Standardization in Knowledge Distillation (2024).
"""

from __future__ import annotations

import math

from paddle import Tensor

from train.losses.float32 import length

LEAST_SPREAD = 1e-4
"""Logits that differ less are divided by this: their gradient would grow without limit."""


def standardized(logits: Tensor) -> Tensor:
    """Logits with mean 0 and standard deviation 1 over the classes of every clip.

    The standard deviation is the paper's, over K classes; the authors' code divides by K - 1,
    which is a temperature of sqrt(K / (K - 1)) here. Gradients flow through both statistics.

    Args:
        logits: float `[N, C]`.
    """
    centred = logits - logits.mean(axis=-1, keepdim=True)
    spread = length(centred) / math.sqrt(logits.shape[-1])
    return centred / spread.clip(min=LEAST_SPREAD)
