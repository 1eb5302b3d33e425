"""From logits to labels: softmax, mean over views, top k."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..system.errors import BackendError
from ..system.terminal import counted


@dataclass(frozen=True)
class Ranked:
    """One answer: class name, class number, probability."""

    label: str
    index: int
    score: float


def softmax(logits: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Probabilities over the last axis; any shape [..., classes], in float64."""
    z = np.asarray(logits, np.float64)
    e = np.exp(z - z.max(axis=-1, keepdims=True))
    return np.asarray(e / e.sum(axis=-1, keepdims=True), np.float64)


def mean_scores(logits: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Probabilities of one video: the mean over its views of their softmax.

    Args:
        logits: [classes] of a single view or [views, classes].
    """
    return np.atleast_2d(softmax(logits)).mean(axis=0)


def top_k(logits: npt.ArrayLike, k: int, classes: Sequence[str]) -> list[Ranked]:
    """The k best classes of one video, best first; equal scores in the order of the classes.

    Args:
        logits: [classes] or [views, classes].
        k: at least 1; more than there are classes gives all of them.
        classes: their names, by index.

    Raises:
        BackendError: a number of logits that does not fit the classes, or NaN or infinity.
    """
    z = np.asarray(logits)
    if z.shape[-1] != len(classes):
        found = counted(z.shape[-1], "logit")
        raise BackendError(f"the network gave {found} for {len(classes)} classes")
    if not np.isfinite(z).all():
        raise BackendError("the network gave logits that are not finite numbers")
    scores = mean_scores(z)
    order = np.argsort(-scores, kind="stable")[: max(k, 1)]
    return [Ranked(classes[i], int(i), float(scores[i])) for i in order]
