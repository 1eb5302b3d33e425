"""Frames of a clip beside each other: as they are, or some of them small, as a JPEG."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .jpeg import jpeg
from .rgb import Frames

QUALITY = 70
GAP, GREY = 2, 128
"""Columns between two frames of a JPEG, and their value."""


def grid(frames: Frames | Sequence[Frames], columns: int, *, gap: int = 0) -> Frames:
    """Frames in rows, from left to right; where the last row ends early it is black.

    Args:
        frames: uint8 [T, H, W, 3], RGB.
        columns: frames of a row.
        gap: grey columns between two frames.
    """
    height, width = frames[0].shape[:2]
    rows = -(-len(frames) // columns)
    sheet = np.zeros((rows * height, columns * (width + gap) - gap, 3), np.uint8)
    for place, frame in enumerate(frames):
        row, column = divmod(place, columns)
        top, left = row * height, column * (width + gap)
        sheet[top : top + height, left : left + width] = frame
        if column:
            sheet[top : top + height, left - gap : left] = GREY
    return sheet


def contact_sheet(clip: Frames, *, frames: int, height: int) -> bytes:
    """Draw frames of a clip in a row, as a JPEG.

    Args:
        clip: uint8 [T, H, W, 3], RGB.
        frames: how many at most; of more in the clip these are evenly spread, the first and the
            last among them.
        height: of the picture in pixels.
    """
    import cv2

    chosen = np.unique(np.linspace(0, len(clip) - 1, frames).round().astype(int))
    width = max(1, round(clip.shape[2] * height / clip.shape[1]))
    row = [
        np.asarray(cv2.resize(clip[i], (width, height), interpolation=cv2.INTER_AREA), np.uint8)
        for i in chosen
    ]
    return jpeg(grid(row, len(row), gap=GAP), QUALITY)
