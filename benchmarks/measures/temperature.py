"""What temperature scaling gains on clips that the temperature was not fitted to.

A temperature that was fitted to the clips that it is measured on looks better than it is: each half
of the clips (or of their groups) is scaled by the temperature that the other half asks for
(cross-fitting).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from benchmarks.stats.resample import Groups
from export.confidence.temperature import fit_temperature


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
