"""KDCL: all networks learn from one target, which is made of what all of them say.

After Guo et al., Online Knowledge Distillation via Collaborative Learning (2020). Unlike mutual
learning, where each follows the other's mistakes too, the target is better than either network.
"""

from __future__ import annotations

from typing import Literal

import paddle
from paddle import Tensor

from train.losses.float32 import full_precision, log_softmax
from train.losses.target import Target

Ensemble = Literal["minlogit", "naive", "mean"]


@full_precision
def collaborative(
    logits_a: Tensor,
    logits_b: Tensor,
    target: Target,
    *,
    ensemble: Ensemble = "minlogit",
    temperature: float = 1.0,
) -> Tensor:
    """KL(ensemble || a) + KL(ensemble || b), times `temperature` squared.

    Both networks learn; no gradient flows into the ensemble. A mixed clip counts both of its
    labels by their shares.

    Args:
        logits_a: float `[N, C]`.
        logits_b: float `[N, C]`.
        target: the labels; `mean` does not look at them.
        ensemble: the target's logits, clip by clip. `minlogit`: the label's logit is subtracted
            from each network's, then the smaller one is taken class by class, so that no other
            class is more likely than the surer network says. `naive`: those of the network with
            the lower cross-entropy. `mean`: the mean of both.
        temperature: divides the logits before the softmax.
    """
    log_a, log_b = log_softmax(logits_a / temperature), log_softmax(logits_b / temperature)
    with paddle.no_grad():
        if ensemble == "minlogit":
            pair = (z - _of_labels(z, target) for z in (log_a, log_b))
            log_t = log_softmax(paddle.minimum(*pair))
        elif ensemble == "naive":
            own = (log_softmax(logits_a), log_softmax(logits_b)) if temperature != 1 else None
            hit_a, hit_b = (_of_labels(log_p, target) for log_p in own or (log_a, log_b))
            log_t = paddle.where(hit_a >= hit_b, log_a, log_b)
        else:
            log_t = log_softmax((log_a + log_b) / 2)
        p_t = log_t.exp()
    return temperature**2 * (p_t * (2 * log_t - log_a - log_b)).sum(axis=-1).mean()


def _of_labels(values: Tensor, target: Target) -> Tensor:
    """What `[N, C]` holds for the label of each clip, `[N, 1]`; of a mixed clip its mean."""

    def of(labels: Tensor) -> Tensor:
        return paddle.take_along_axis(values, labels.unsqueeze(1), axis=1).squeeze(1)

    return target.by_clip(of).unsqueeze(1)
