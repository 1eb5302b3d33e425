"""Places for labels beside their points: inside the plot, and not on top of each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Boxes = NDArray[np.float64]  # [number, 4]: left, bottom, right, top

STEP, FAR = 5, 200


def free_boxes(points: Boxes, sizes: Boxes, taken: Boxes, inside: Sequence[float]) -> Boxes:
    """For each label the nearest box that covers nothing, or the least where all cover something.

    Args:
        points: [labels, 2], x and y.
        sizes: [labels, 2], width and height.
        taken: [number, 4], what must not be covered.
        inside: left, bottom, right and top of the plot.

    Returns:
        [labels, 4], in the order of the points.
    """
    grid = np.arange(-FAR, FAR + 1, STEP)
    steps = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    low, high = np.array(inside[:2]), np.array(inside[2:])
    for point, size in zip(points, sizes, strict=True):
        boxes = np.hstack([point + steps - size / 2, point + steps + size / 2])
        outside = ((boxes[:, :2] < low) | (boxes[:, 2:] > high)).any(axis=1)
        over = (boxes[:, None, :2] < taken[:, 2:]) & (boxes[:, None, 2:] > taken[:, :2])
        covered = over.all(axis=2).sum(axis=1)
        gap = np.hypot(*np.maximum(np.abs(steps) - size / 2, 0).T)
        # Of two at the same distance the one in the middle of a side.
        best = np.lexsort((gap + 0.05 * np.hypot(*steps.T), covered, outside))[0]
        taken = np.vstack([taken, boxes[best]])
    return taken[len(taken) - len(points) :]
