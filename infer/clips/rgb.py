"""Pixels of a decoded frame as a player shows them: RGB, rotated and mirrored."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt
from av.sidedata.sidedata import SideDataContainer
from av.video.reformatter import VideoReformatter

from ..system.errors import NO_MEMORY, VideoError

Frames = npt.NDArray[np.uint8]

_AS_IT_IS = (False, False, False)
_HALF = (False, True, True)
_QUARTERS = {90: (True, True, False), -90: (True, False, True), 180: _HALF, -180: _HALF}
"""By the angle counterclockwise. Whether such a frame is mirrored too is not known."""


def turn_of(frame: Any) -> tuple[bool, bool, bool]:
    """Whether to transpose, then to flip rows, then to flip columns, from the display matrix.

    Slanted or impossible matrices are ignored. A point (x, y) is shown at (a x + c y, b x + d y).
    """
    try:
        # `frame.side_data` would keep itself in the frame: a cycle that holds the frame's pixels.
        found = SideDataContainer(frame)  # type: ignore[call-arg]  # its stub has no arguments
        matrix = found.get("DISPLAYMATRIX")
    except ValueError:  # beside it lies something that PyAV has no name for, such as EXIF
        return _QUARTERS.get(frame.rotation, _AS_IT_IS)
    if matrix is not None and len(bytes(matrix)) >= 36:
        a, b, _, c, d = struct.unpack("=5i", bytes(matrix)[:20])
        if b == c == 0 and a and d:
            return False, d < 0, a < 0
        if a == d == 0 and b and c:
            return True, b < 0, c < 0
    return _AS_IT_IS


class ToRgb:
    """Converts the frames of one video, in one thread; what FFmpeg sets up for it is kept.

    Attributes:
        width, height: pixels as shown.
        turned: rotated by a quarter before it is shown.
    """

    def __init__(self, path: Path, first: Any) -> None:
        """`path`: of the video, for errors. `first`: all frames are scaled and turned as it."""
        self._path = path
        self._size = first.width, first.height
        self._turn = turn_of(first)
        self.turned = self._turn[0]
        self.width, self.height = self._size[::-1] if self.turned else self._size
        self._reformatter: Any = VideoReformatter()

    def __call__(self, frame: Any) -> Frames:
        """uint8 [height, width, 3] RGB, of its own memory, whose rows may be padded.

        Raises:
            VideoError: its pixels do not convert, or there is no memory.
        """
        width, height = self._size
        try:
            # One thread: FFmpeg would start as many as there are cores.
            picture: Frames = self._reformatter.reformat(
                frame, width=width, height=height, format="rgb24", threads=1
            ).to_ndarray()
        except MemoryError:
            raise VideoError(self._path, NO_MEMORY) from None
        except (av.FFmpegError, ValueError) as error:
            name = frame.format.name
            why = f"its pixels ({name}) do not convert to RGB: {error}"
            raise VideoError(self._path, why) from None
        transpose, flip_rows, flip_columns = self._turn
        if not any(self._turn):
            return picture  # rows of FFmpeg's frame: a copy that nobody needs would cost as much
        # OpenCV turns pixels of three bytes many times as fast as NumPy.
        if transpose:
            picture = cv2.transpose(picture)
        if flip_rows or flip_columns:
            around = -1 if flip_rows and flip_columns else int(flip_columns)
            picture = cv2.flip(picture, around)
        return picture
