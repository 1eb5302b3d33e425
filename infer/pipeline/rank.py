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


def joined_logits(logits: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Logits of one video: of a single view its own, else logarithms of `mean_scores`.

    Args:
        logits: [classes] of a single view or [views, classes].
    """
    z = np.atleast_2d(np.asarray(logits, np.float64))
    if len(z) == 1:
        return np.asarray(z[0])
    return np.asarray(np.log(np.maximum(mean_scores(z), np.finfo(np.float32).tiny)))


def calibrated_scores(logits: npt.ArrayLike, temperature: float | None) -> npt.NDArray[np.float64]:
    """Probabilities of one video, with its logits divided by a temperature; None: `mean_scores`.

    Args:
        logits: [classes] of a single view or [views, classes].
        temperature: above 0.
    """
    if temperature is None:
        return mean_scores(logits)
    return softmax(joined_logits(logits) / temperature)


def top_k(
    logits: npt.ArrayLike, k: int, classes: Sequence[str], *, temperature: float | None = None
) -> list[Ranked]:
    """The k best classes of one video, best first; equal scores in the order of the classes.

    Args:
        logits: [classes] or [views, classes].
        k: at least 1; more than there are classes gives all of them.
        classes: their names, by index.
        temperature: for calibrated scores; None: those of the network.

    Raises:
        BackendError: a number of logits that does not fit the classes, or NaN or infinity.
    """
    z = np.asarray(logits)
    if z.shape[-1] != len(classes):
        found = counted(z.shape[-1], "logit")
        raise BackendError(f"the network gave {found} for {len(classes)} classes")
    if not np.isfinite(z).all():
        raise BackendError("the network gave logits that are not finite numbers")
    scores = calibrated_scores(z, temperature)
    order = np.argsort(-scores, kind="stable")[: max(k, 1)]
    return [Ranked(classes[i], int(i), float(scores[i])) for i in order]
