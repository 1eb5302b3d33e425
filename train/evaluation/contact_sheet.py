"""Some frames of a clip side by side, as a small JPEG."""

from __future__ import annotations

import numpy as np

from infer.clips.jpeg import jpeg

QUALITY = 70
GAP = 2
"""Grey columns between two frames."""


def contact_sheet(clip: np.ndarray, *, frames: int, height: int) -> bytes:
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
    row = [cv2.resize(clip[i], (width, height), interpolation=cv2.INTER_AREA) for i in chosen]
    gap = np.full((height, GAP, 3), 128, np.uint8)
    parts = [part for frame in row for part in (gap, frame)][1:]
    return jpeg(np.concatenate(parts, axis=1), QUALITY)
