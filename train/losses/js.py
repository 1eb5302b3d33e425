"""The Jensen-Shannon divergence, from which SSLD learns without any label."""

from __future__ import annotations

import math

import paddle
from paddle import Tensor

from train.losses.float32 import full_precision, log_softmax


@full_precision
def js_divergence(student: Tensor, teacher: Tensor, *, temperature: float = 1.0) -> Tensor:
    """(KL(p||m) + KL(q||m)) / 2 with m = (p + q) / 2, times `temperature` squared.

    Symmetric as the mutual loss, but at most log 2 however sure and wrong the student is, so that
    single clips do not rule a batch (Cui et al., Beyond Self-Supervision, 2021). No gradient
    flows into the teacher.

    Args:
        student: logits, float `[N, C]`.
        teacher: logits, float `[N, C]`.
        temperature: divides the logits before the softmax.
    """
    log_p = log_softmax(student / temperature)
    log_q = log_softmax(teacher.detach() / temperature)
    log_m = paddle.logsumexp(paddle.stack([log_p, log_q]), axis=0) - math.log(2)
    both = log_p.exp() * (log_p - log_m) + log_q.exp() * (log_q - log_m)
    return 0.5 * temperature**2 * both.sum(axis=-1).mean()
