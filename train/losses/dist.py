"""DIST: the student need not have the teacher's probabilities, only their relations."""

from __future__ import annotations

from paddle import Tensor

from train.losses.float32 import full_precision, length, log_softmax

NO_SPREAD = 1e-8
"""Added to the product of two spreads, as in the paper's code: a class that no clip of the batch
is likely to be has no say."""


@full_precision
def dist(
    student: Tensor,
    teacher: Tensor,
    *,
    temperature: float = 1.0,
    beta: float = 1.0,
    gamma: float = 1.0,
) -> Tensor:
    """`temperature**2 * (beta * inter + gamma * intra)` (Huang et al., 2022).

    Each is one minus the mean Pearson correlation of student and teacher: over the classes of a
    clip (inter), and over the clips of a class (intra). A batch of one has no spread over clips:
    its intra part is 1, without a gradient. No gradient flows into the teacher.

    Args:
        student: logits, float `[N, C]`.
        teacher: logits, float `[N, C]`.
        temperature: divides the logits before the softmax.
        beta: weight of the inter-class part.
        gamma: weight of the intra-class part.
    """
    p, t = (log_softmax(z / temperature).exp() for z in (student, teacher.detach()))
    inter, intra = 1 - _correlation(p, t).mean(), 1 - _correlation(p.T, t.T).mean()
    return temperature**2 * (beta * inter + gamma * intra)


def _correlation(a: Tensor, b: Tensor) -> Tensor:
    """Pearson's, row by row, `[N]`; next to 0 for a row that hardly varies."""
    a, b = (x - x.mean(axis=1, keepdim=True) for x in (a, b))
    return (a * b).sum(axis=1) / (length(a) * length(b) + NO_SPREAD).squeeze(-1)
