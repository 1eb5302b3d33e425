"""Decoupled distillation: how sure the teacher is, apart from how it ranks the other classes."""

from __future__ import annotations

import paddle
from paddle import Tensor
from paddle.nn import functional as F

from train.losses.float32 import full_precision, log_softmax
from train.losses.standardize import standardized
from train.losses.target import Target

NEVER = -1e9
"""A logit whose probability is 0, and which is still a number that can be subtracted."""


@full_precision
def decoupled(
    student: Tensor,
    teacher: Tensor,
    target: Target,
    *,
    temperature: float = 1.0,
    alpha: float = 1.0,
    beta: float = 1.0,
    use_target_as_gt: bool = False,
    standardize: bool = False,
) -> Tensor:
    """`temperature**2 * (alpha * TCKD + beta * NCKD)` (Zhao et al., 2022).

    TCKD is the KL divergence of (label's class, all others), NCKD that among the others. In plain
    distillation the second is weighed by the teacher's doubt, and a sure teacher teaches little.
    No gradient flows into the teacher.

    Args:
        student: logits, float `[N, C]` with C of at least 2.
        teacher: logits, float `[N, C]`.
        target: the labels; a mixed clip counts both of its by their shares.
        temperature: divides the logits before the softmax.
        alpha: weight of TCKD.
        beta: weight of NCKD.
        use_target_as_gt: the teacher's best class instead of the labels (PaddleClas's name).
        standardize: make each clip's logits Z-scores first, see `train.losses.standardize`.
    """
    teacher = teacher.detach()
    if standardize:
        student, teacher = standardized(student), standardized(teacher)
    z, t = student / temperature, teacher / temperature

    def per_clip(labels: Tensor) -> Tensor:
        return alpha * _target(z, t, labels) + beta * _others(z, t, labels)

    loss = per_clip(t.argmax(axis=-1)) if use_target_as_gt else target.by_clip(per_clip)
    return temperature**2 * loss.mean()


def _target(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """KL divergence `[N]` of the two probabilities: that of the label, and that of the rest.

    1 - p would be 0 for a sure network; the rest's logarithm is a sum over the others.
    """
    own = labels.unsqueeze(1)

    def log_binary(logits: Tensor) -> Tensor:
        hit = paddle.take_along_axis(logits, own, axis=1)
        rest = paddle.logsumexp(_without(logits, labels), axis=1, keepdim=True)
        return log_softmax(paddle.concat([hit, rest], axis=1))

    log_p, log_t = log_binary(student), log_binary(teacher)
    return (log_t.exp() * (log_t - log_p)).sum(axis=1)


def _others(student: Tensor, teacher: Tensor, labels: Tensor) -> Tensor:
    """KL divergence `[N]` among the classes that are not the label."""
    log_p, log_t = (log_softmax(_without(logits, labels)) for logits in (student, teacher))
    return (log_t.exp() * (log_t - log_p)).sum(axis=1)


def _without(logits: Tensor, labels: Tensor) -> Tensor:
    mask = F.one_hot(labels, logits.shape[1]).astype("bool")
    return paddle.where(mask, paddle.full_like(logits, NEVER), logits)
