"""Resize a frame by one of the filters of `PreprocessSpec`."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

from ..system.errors import BackendError
from .rgb import Frames


def resize_frame(frame: Frames, size: tuple[int, int], resize: str) -> Frames:
    """uint8 [H, W, 3] to uint8 [h, w, 3] of `size` (w, h), by a filter of `PreprocessSpec`."""
    return _RESIZE[resize](frame, size)


def _area(frame: Frames, size: tuple[int, int]) -> Frames:
    # Area averaging means something only for an axis that shrinks: those first, then the others.
    height, width = frame.shape[:2]
    smaller = (min(size[0], width), min(size[1], height))
    if smaller != (width, height):
        frame = np.asarray(cv2.resize(frame, smaller, interpolation=cv2.INTER_AREA), np.uint8)
    return frame if smaller == size else _bilinear(frame, size)


def _bilinear(frame: Frames, size: tuple[int, int]) -> Frames:
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR), np.uint8)


def _pil(frame: Frames, size: tuple[int, int]) -> Frames:
    try:
        from PIL import Image
    except ImportError:
        raise BackendError(
            "resize: pil needs Pillow: pip install 'clipduet[pil]', or use resize: area"
        ) from None
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.BILINEAR), np.uint8)


_RESIZE: dict[str, Callable[[Frames, tuple[int, int]], Frames]] = {
    "area": _area,
    "bilinear": _bilinear,
    "pil": _pil,
}
