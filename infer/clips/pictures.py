"""Decode a picture, after a look at how large it is."""

from __future__ import annotations

import contextlib
import io
import struct
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from ..containers.formats import formats, max_pixels
from ..containers.limits import LIMITS, Limits
from ..system.errors import VideoError
from ..system.limited_files import read_bytes

_HEAD = 1 << 24
"""Bytes that a picture may have beside its pixels, of which none has more than 8 bytes."""


def read_picture(path: Path, limits: Limits = LIMITS) -> npt.NDArray[np.uint8]:
    """A picture of a folder of frames.

    Returns:
        uint8 [H, W, 3] BGR as it is stored, not turned.

    Raises:
        OSError: the file cannot be read, is no regular file, or larger than any picture of so many
            pixels.
        VideoError: it is no picture, or larger than allowed. `path` is the picture, and `reason`
            goes on where a message has named it.
    """
    data = read_bytes(path, most=min(8 * limits.pixels + _HEAD, limits.bytes))
    size = picture_size(data)
    if size is None and (size := _asked_of_ffmpeg(data, limits)) is None:
        more = f"or has more pixels than allowed: {limits.allowed('pixels')}"
        raise VideoError(path, f"is not a readable picture, {more}")
    limits.check_size(path, *size, what="is")
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    picture = None
    with contextlib.suppress(cv2.error):
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    if picture is None:
        raise VideoError(path, "is not a readable picture")
    return np.asarray(picture, np.uint8)


def picture_size(data: bytes) -> tuple[int, int] | None:
    """Width and height by the header of a JPEG or PNG file; None: it is another or damaged."""
    if data[:8] == b"\x89PNG\r\n\x1a\n" and data[12:16] == b"IHDR" and len(data) >= 24:
        width, height = struct.unpack(">II", data[16:24])
        return width, height
    return _jpeg_size(data) if data[:2] == b"\xff\xd8" else None


def _jpeg_size(data: bytes) -> tuple[int, int] | None:
    at = 2
    while len(data) >= at + 9 and data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xFF:  # fills up
            at += 1
        elif marker == 0x01 or 0xD0 <= marker <= 0xD7:  # stand alone
            at += 2
        elif 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):  # start of frame
            height, width = struct.unpack(">HH", data[at + 5 : at + 9])
            return width, height
        else:
            at += 2 + struct.unpack(">H", data[at + 2 : at + 4])[0]
    return None


def _asked_of_ffmpeg(data: bytes, limits: Limits) -> tuple[int, int] | None:
    """Of a picture in any format; None: unknown, or larger than allowed. Takes longer."""
    options = {
        "protocol_whitelist": "none",
        "format_whitelist": formats(),
        "max_pixels": max_pixels(limits),
    }
    try:
        container: Any = av.open(io.BytesIO(data), options=options)
        with container:
            stream = container.streams.best("video")
            if stream is None or stream.codec_context is None:
                return None
            width, height = stream.codec_context.width, stream.codec_context.height
    except (av.FFmpegError, OSError, ValueError):
        return None
    return (width, height) if width and height else None
