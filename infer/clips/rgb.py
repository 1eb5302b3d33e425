"""Pixels of a decoded frame as a player shows them: RGB, rotated and mirrored."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from ..system.errors import NO_MEMORY, VideoError

Frames = npt.NDArray[np.uint8]


def turn_of(frame: Any) -> tuple[bool, bool, bool]:
    """Whether to transpose, then to flip rows, then to flip columns, from the display matrix.

    Slanted or impossible matrices are ignored. A point (x, y) is shown at (a x + c y, b x + d y).
    """
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX" and len(bytes(data)) >= 36:
            a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
            if b == c == 0 and a and d:
                return False, d < 0, a < 0
            if a == d == 0 and b and c:
                return True, b < 0, c < 0
    return False, False, False


def rgb_of(path: Path, frame: Any, size: tuple[int, int], turn: tuple[bool, bool, bool]) -> Frames:
    """uint8 [H, W, 3] RGB, a fresh array.

    Args:
        path: of the video, for errors.
        frame: a frame of PyAV.
        size: width and height before it is turned; the frame is scaled to it.
        turn: as by `turn_of`.

    Raises:
        VideoError: its pixels do not convert, or there is no memory.
    """
    width, height = size
    try:
        # One thread: FFmpeg would start as many as there are cores for each frame anew.
        picture: Frames = frame.to_ndarray(format="rgb24", width=width, height=height, threads=1)
    except MemoryError:
        raise VideoError(path, NO_MEMORY) from None
    except (av.FFmpegError, ValueError) as error:
        name = frame.format.name
        raise VideoError(path, f"its pixels ({name}) do not convert to RGB: {error}") from None
    transpose, flip_rows, flip_columns = turn
    if transpose:
        picture = picture.transpose(1, 0, 2)
    if flip_rows:
        picture = picture[::-1]
    if flip_columns:
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)
