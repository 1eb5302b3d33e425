"""A frame as a JPEG, in a file or in a page."""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt


def jpeg(frame: npt.NDArray[np.uint8], quality: int) -> bytes:
    """Encode a frame, uint8 [H, W, 3] RGB; `quality` from 1 to 100, as OpenCV counts.

    Raises:
        ValueError: OpenCV cannot do it.
    """
    import cv2

    bgr = np.ascontiguousarray(frame[:, :, ::-1])
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise ValueError("OpenCV writes no JPEG")
    return data.tobytes()


def data_uri(picture: bytes) -> str:
    """A JPEG as the address of an `img` that loads nothing."""
    return f"data:image/jpeg;base64,{base64.b64encode(picture).decode()}"
