"""How well probabilities fit the truth: ECE and Brier score of softmax outputs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

BINS = 15
"""Of the ECE, as in Guo et al., "On calibration of modern neural networks", 2017."""


def brier(logs: Floats, labels: npt.ArrayLike) -> Floats:
    """Squared distance of the probabilities from the truth, summed over classes, [clips].

    From 0 to 2 (Brier, 1950).

    Args:
        logs: [clips, classes], of `export.confidence.temperature.log_softmax`.
        labels: int [clips].
    """
    truth = np.eye(logs.shape[1])[np.asarray(labels, np.int64)]
    found: Floats = ((np.exp(logs) - truth) ** 2).sum(axis=1)
    return found


def confidences(logs: Floats, labels: npt.ArrayLike) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """The probability of the class that is answered, and whether it is right, [clips] each."""
    answers = logs.argmax(axis=1)
    return np.exp(logs.max(axis=1)), answers == np.asarray(labels)


def bins_of(confidence: npt.ArrayLike, bins: int = BINS) -> Ints:
    """The bin of each clip, from 0, by the rank of its confidence: bins of equal mass.

    Their sizes differ by one at most where no confidences are equal; equal ones share a bin, so
    that nothing hangs on the order of the clips.

    Raises:
        ValueError: no bin, or confidences that are no vector.
    """
    values = np.asarray(confidence, np.float64)
    if bins < 1 or values.ndim != 1:
        raise ValueError(f"{bins} bins of confidences {values.shape}: give a vector, and 1 bin")
    ranks = np.searchsorted(np.sort(values), values, side="left")
    found: Ints = (ranks * bins // max(1, len(values))).astype(np.int64)
    return found


def ece(confidence: npt.ArrayLike, right: npt.ArrayLike, *, bins: int = BINS) -> float:
    """Expected calibration error with bins of equal mass, from 0 to 1.

    The gap of mean confidence and accuracy in each bin, weighted by the bin's clips.

    Args:
        confidence: [clips], the probability of the answer.
        right: bool [clips], whether it is right.
        bins: how many.
    """
    gap = np.asarray(confidence, np.float64) - np.asarray(right, np.float64)
    return float(np.abs(binned(gap, bins_of(confidence, bins), bins).mean(axis=-1)).sum())


def ece_by_chance(confidence: npt.ArrayLike, *, bins: int = BINS) -> tuple[float, float]:
    """Mean and standard deviation of the ECE of a calibrated model with so many clips.

    Answers are right by chance, as often as the confidences say: the gap of a bin is close to
    normal. Its size has the mean of the square root of 2 / pi times its standard deviation, and
    the variance of 1 - 2 / pi times its variance.

    Args:
        confidence: [clips], the probability of the answer.
        bins: of the ECE.
    """
    values = np.asarray(confidence, np.float64)
    spread = np.bincount(bins_of(values, bins), values * (1 - values), minlength=bins)
    mean, variance = np.sqrt(2 / np.pi * spread).sum(), (1 - 2 / np.pi) * spread.sum()
    return float(mean / len(values)), float(np.sqrt(variance) / len(values))


def binned(gap: Floats, bin_of: Ints, bins: int = BINS) -> Floats:
    """[bins, clips]: the gap of each clip in the row of its bin, else zero.

    The sum of the absolute row means is the ECE, which makes it a function of means that can be
    resampled.
    """
    found: Floats = np.where(np.arange(bins)[:, None] == bin_of, gap, 0.0)
    return found
