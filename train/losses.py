"""The losses of a recogniser: cross-entropy to the labels and mutual learning between networks.

Every loss is a function of logits that returns a scalar tensor, the mean over the batch.
"""

from __future__ import annotations

from dataclasses import dataclass

import paddle
from paddle import Tensor


@dataclass(frozen=True)
class Target:
    """What the labels say about a batch.

    Attributes:
        labels: int64 ``[N]``.
        labels_b: int64 ``[N]``, the second label of each mixed clip, or None.
        lam: float32 ``[N]``, the share of ``labels`` in each mixed clip, or None.
    """

    labels: Tensor
    labels_b: Tensor | None = None
    lam: Tensor | None = None


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities in float32. Paddle's own clips them at -64 on a CPU."""
    wide = logits.astype("float32")
    return wide - paddle.logsumexp(wide, axis=-1, keepdim=True)


def cross_entropy(logits: Tensor, target: Target, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy to the labels, to both labels of mixed clips by their shares.

    Args:
        logits: float ``[N, C]``.
        target: the labels.
        label_smoothing: share of the target spread evenly over all classes.
    """

    def per_clip(labels: Tensor) -> Tensor:
        hit = -paddle.take_along_axis(log_p, labels.unsqueeze(1), axis=1).squeeze(1)
        return (1 - label_smoothing) * hit - label_smoothing * log_p.mean(axis=1)

    log_p = log_softmax(logits)
    loss = per_clip(target.labels)
    if target.labels_b is not None and target.lam is not None:
        loss = target.lam * loss + (1 - target.lam) * per_clip(target.labels_b)
    return loss.mean()


def mutual(logits_a: Tensor, logits_b: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Symmetric KL divergence, (KL(p||q) + KL(q||p)) / 2, times ``temperature`` squared.

    At temperature 1 this is PaddleVideo's DistillationDMLLoss (after Zhang et al., Deep Mutual
    Learning, 2018). Gradients flow into both networks. Computed from log-probabilities in
    float32, so that far-apart logits give neither infinities nor the bias of an epsilon.

    Args:
        logits_a: float ``[N, C]``.
        logits_b: float ``[N, C]``.
        temperature: divides the logits before the softmax.
    """
    log_p = log_softmax(logits_a.astype("float32") / temperature)
    log_q = log_softmax(logits_b.astype("float32") / temperature)
    # KL(p||q) + KL(q||p) = sum (p - q)(log p - log q)
    symmetric = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(axis=-1)
    return 0.5 * temperature**2 * symmetric.mean()
