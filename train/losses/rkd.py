"""Relational distillation: distances and angles between the clips of a batch, not the clips."""

from __future__ import annotations

import paddle
from paddle import Tensor
from paddle.nn import functional as F

from infer.system.errors import ClipDuetError
from train.losses.float32 import full_precision, length


class BatchError(ClipDuetError):
    """A batch with too few clips for a loss between them."""


@full_precision
def rkd_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss over all pairs of the distance between two clips (Park et al., 2019).

    Distances are divided by the mean of those that are not 0; the mean of public code, and of
    PaddleClas, includes every clip's distance to itself. No gradient flows into the teacher.

    Args:
        student: embeddings, float `[N, D]`.
        teacher: embeddings, float `[N, E]`.

    Raises:
        BatchError: N is 1.
    """
    _check_clips(student)
    return _huber(_distances(student), _distances(teacher.detach()))


@full_precision
def rkd_angle(student: Tensor, teacher: Tensor) -> Tensor:
    """Huber loss over all triples of the cosine at one clip between two others (Park et al., 2019).

    Costs `N**3` numbers. Two clips make no angle: there it is 0. No gradient flows into the
    teacher.

    Args:
        student: embeddings, float `[N, D]`.
        teacher: embeddings, float `[N, E]`.

    Raises:
        BatchError: N is 1.
    """
    _check_clips(student)
    return _huber(_cosines(student), _cosines(teacher.detach()))


def _check_clips(embedding: Tensor) -> None:
    if embedding.shape[0] < 2:
        raise BatchError(
            "RKD compares the clips of a batch with each other: a batch of one holds no relation; "
            "set DATASET.batch_size to 2 or more (3 for angles)"
        )


def _distances(embedding: Tensor) -> Tensor:
    """`[N, N]`, in units of their mean. Differences, not products: those of near clips cancel."""
    distances = length(embedding.unsqueeze(0) - embedding.unsqueeze(1)).squeeze(-1)
    positive = (distances > 0).astype(distances.dtype)
    count, total = positive.sum(), distances.sum()
    return distances / paddle.where(count > 0, total / count.clip(min=1), paddle.ones_like(total))


def _cosines(embedding: Tensor) -> Tensor:
    """`[N, N, N]`: at the first clip, between the directions to the second and the third."""
    ways = embedding.unsqueeze(0) - embedding.unsqueeze(1)
    far = length(ways)
    unit = ways / paddle.where(far > 0, far, paddle.ones_like(far))
    return paddle.matmul(unit, unit, transpose_y=True)


def _huber(a: Tensor, b: Tensor) -> Tensor:
    return F.smooth_l1_loss(a, b, delta=1.0)
