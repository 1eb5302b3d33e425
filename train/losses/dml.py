"""Deep mutual learning as PaddleVideo does it: one symmetric term, from which both learn."""

from __future__ import annotations

from paddle import Tensor

from train.losses.wide import full_precision, log_softmax


@full_precision
def mutual(logits_a: Tensor, logits_b: Tensor, *, temperature: float = 1.0) -> Tensor:
    """Symmetric KL divergence, (KL(p||q) + KL(q||p)) / 2, times ``temperature`` squared.

    At temperature 1 this is PaddleVideo's DistillationDMLLoss (after Zhang et al., Deep Mutual
    Learning, 2018). Gradients flow into both networks. Computed from log-probabilities, so that
    far-apart logits give neither infinities nor the bias of an epsilon.

    Args:
        logits_a: float ``[N, C]``.
        logits_b: float ``[N, C]``.
        temperature: divides the logits before the softmax.
    """
    log_p = log_softmax(logits_a / temperature)
    log_q = log_softmax(logits_b / temperature)
    # KL(p||q) + KL(q||p) = sum (p - q)(log p - log q)
    symmetric = ((log_p.exp() - log_q.exp()) * (log_p - log_q)).sum(axis=-1)
    return 0.5 * temperature**2 * symmetric.mean()
