"""Deep mutual learning in PaddleVideo's form: one symmetric term, from which both learn."""

from __future__ import annotations

from typing import Literal

from paddle import Tensor

from train.losses.float32 import full_precision, log_softmax
from train.losses.standardize import standardized


@full_precision
def mutual(
    logits_a: Tensor,
    logits_b: Tensor,
    *,
    temperature: float = 1.0,
    act: Literal["softmax"] = "softmax",
    eps: float = 0.0,
    standardize: bool = False,
) -> Tensor:
    """Symmetric KL divergence, (KL(p||q) + KL(q||p)) / 2, times `temperature` squared.

    At temperature 1 this is the term of PaddleVideo's DistillationDMLLoss (after Zhang et al.,
    Deep Mutual Learning, 2018). Gradients flow into both networks. Computed from
    log-probabilities, so that far-apart logits give neither infinities nor the bias of an epsilon.
    PaddleVideo adds 1e-12 to the probabilities before it takes logarithms; `eps=1e-12` gives its
    value, which is smaller where a probability is not much larger than that.

    Args:
        logits_a: float `[N, C]`.
        logits_b: float `[N, C]`.
        temperature: divides the logits before the softmax.
        act: what turns logits into probabilities; PaddleVideo's key.
        eps: added to every probability within the logarithms; 0: nothing.
        standardize: make each clip's logits Z-scores first, see `train.losses.standardize`.
    """
    if standardize:
        logits_a, logits_b = standardized(logits_a), standardized(logits_b)
    log_p = log_softmax(logits_a / temperature)
    log_q = log_softmax(logits_b / temperature)
    p, q = log_p.exp(), log_q.exp()
    if eps > 0:
        log_p, log_q = (p + eps).log(), (q + eps).log()
    # KL(p||q) + KL(q||p) = sum (p - q)(log p - log q)
    symmetric = ((p - q) * (log_p - log_q)).sum(axis=-1)
    return 0.5 * temperature**2 * symmetric.mean()
