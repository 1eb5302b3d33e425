"""Temperature scaling: one number that the logits are divided by (Guo et al., 2017).

It changes no answer, only how sure the network says that it is. A temperature that was fitted to
the clips that it is measured on looks better than it is: each half of the clips (or of their
groups) is scaled by the temperature that the other half asks for (cross-fitting).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from benchmarks.measures.scores import log_softmax, nll
from benchmarks.stats.resample import Groups

LOWEST, HIGHEST = 0.02, 50.0


def fit_temperature(logits: npt.ArrayLike, labels: npt.ArrayLike) -> float:
    """The temperature from `LOWEST` to `HIGHEST` with the least NLL.

    Args:
        logits: [clips, classes], finite.
        labels: int [clips].

    Raises:
        ValueError: no clip.
    """
    from scipy.optimize import minimize_scalar

    values, truth = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    if not len(truth):
        raise ValueError("a temperature cannot be fitted to no clip")

    # As a function of its inverse the NLL is convex: there is one minimum.
    def loss(inverse: float) -> float:
        return float(nll(log_softmax(values, 1 / inverse), truth).mean())

    # The search goes by the logarithm, so that small and large ones are found as precisely.
    found = minimize_scalar(
        lambda log: loss(math.exp(log)),
        bounds=(-math.log(HIGHEST), -math.log(LOWEST)),
        method="bounded",
        options={"xatol": 1e-6},
    )
    return math.exp(-float(found.x))


def halves(clips: int, *, seed: int, groups: Groups | None = None) -> npt.NDArray[np.bool_]:
    """Which clips are of the second half, bool [clips]; a group is of one half.

    Args:
        clips: how many.
        seed: of the split into halves.
        groups: of clips that belong together.
    """
    of_clip = np.arange(clips) if groups is None else groups.of_clip
    number = int(of_clip.max(initial=-1)) + 1
    second = np.zeros(number, bool)
    second[np.random.default_rng(seed).permutation(number)[: number // 2]] = True
    found: npt.NDArray[np.bool_] = second[of_clip]
    return found


def cross_fitted(
    logits: npt.ArrayLike, labels: npt.ArrayLike, second: npt.NDArray[np.bool_]
) -> tuple[npt.NDArray[np.float64], tuple[float, float]] | None:
    """Logits of each half divided by the temperature of the other half.

    Args:
        logits: [clips, classes], finite.
        labels: int [clips].
        second: bool [clips], of `halves`.

    Returns:
        The scaled logits, and the temperatures that the first and the second half ask for. None
        where one half has no clip.
    """
    values, truth = np.asarray(logits, np.float64), np.asarray(labels, np.int64)
    if not len(truth) or second.all() or not second.any():
        return None
    of_first = fit_temperature(values[~second], truth[~second])
    of_second = fit_temperature(values[second], truth[second])
    return values / np.where(second, of_first, of_second)[:, None], (of_first, of_second)
