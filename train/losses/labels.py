"""Cross-entropy to the labels."""

from __future__ import annotations

import paddle
from paddle import Tensor

from train.losses.float32 import full_precision, log_softmax
from train.losses.target import Target


@full_precision
def cross_entropy(logits: Tensor, target: Target, *, label_smoothing: float = 0.0) -> Tensor:
    """Cross-entropy to the labels, to both labels of mixed clips by their shares.

    The mean is over clips, whatever they weigh: with class weights, which multiply the loss of a
    clip, it is no weighted mean. So it is the same in parts of a batch, added up, as in the whole.

    Args:
        logits: float `[N, C]`.
        target: the labels.
        label_smoothing: share of the target spread evenly over all classes.
    """

    def per_clip(labels: Tensor) -> Tensor:
        hit = -paddle.take_along_axis(log_p, labels.unsqueeze(1), axis=1).squeeze(1)
        loss = (1 - label_smoothing) * hit - label_smoothing * log_p.mean(axis=1)
        if target.class_weights is None:
            return loss
        return loss * paddle.gather(target.class_weights, labels).astype(loss.dtype)

    log_p = log_softmax(logits)
    return target.by_clip(per_clip).mean()
