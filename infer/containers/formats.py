"""Open a video file and find the stream to decode, or say in one line why there is none."""

from __future__ import annotations

import functools
import os
import stat
from pathlib import Path
from typing import Any

import av

from ..system.addresses import NOT_READ, is_address
from ..system.errors import NO_MEMORY, VideoError, os_reason
from .damage import cut_off_or
from .decoder import check_decoder
from .file_kind import not_a_video
from .limits import LIMITS, Limits

# Playlists, which would open other files or addresses (and wait for a live one to grow), and text
# shown as pictures. They are not even tried.
_REFUSED_FORMATS = frozenset(
    ("hls", "applehttp", "dash", "webm_dash_manifest", "concat", "imf", "sdp", "rtsp", "rtp", "tty")
)

MP4 = "mov,mp4,m4a,3gp,3g2,mj2"
"""FFmpeg's name of MP4, MOV and their kin."""
_JPEG_2000 = (b"jp2 ", b"jpx ", b"jxl ")  # and JPEG XL, in the same structure

FFMPEG_PIXELS = 2**31 - 1
"""The largest limit that FFmpeg takes."""


def check_file(path: Path, limits: Limits = LIMITS) -> None:
    """Check that this is a file that may be read, is not empty and no larger than allowed.

    Raises:
        VideoError: it is not, and why.
    """
    try:
        # `Path.is_file` would take a circle of links for a file that is not there.
        state = os.stat(path)
        if stat.S_ISDIR(state.st_mode):
            raise VideoError(path, "is a folder, not a video file")
        if not stat.S_ISREG(state.st_mode):
            raise VideoError(path, "is not a regular file")
        if state.st_size == 0:
            raise VideoError(path, "the file is empty")
        limits.check_bytes(path, state.st_size)
        with path.open("rb"):
            pass
    except (FileNotFoundError, NotADirectoryError):
        raise VideoError(path, NOT_READ if is_address(path) else "no such file") from None
    except OSError as error:
        raise VideoError(path, f"cannot be read: {os_reason(error)}") from None
    except ValueError as error:
        raise VideoError(path, f"not a usable file name: {error}") from None


def open_video(path: Path, limits: Limits = LIMITS, *, probe: bool = True) -> tuple[Any, Any]:
    """Container and its best video stream.

    It decodes in one thread, so that order and damage are the same every time; files are decoded
    side by side instead.

    Args:
        path: the video file.
        limits: larger frames do not decode.
        probe: whether FFmpeg may decode the first frames, to learn what the header does not say;
            else nothing is decoded.

    Raises:
        VideoError: there is none, and why; that the file was cut off comes before all else. Or its
            frames are larger than allowed.
        ClipDuetError: the installed PyAV would read it wrong.
    """
    check_decoder(str(av.__version__))
    options = {"protocol_whitelist": "file", "max_pixels": max_pixels(limits)}
    if not probe:
        options["codec_whitelist"] = "none"
    try:
        known = _known_format(path)
        options["format_whitelist"] = known or formats()
        # "file:" so that a name like "a:b.mp4" is not taken for a protocol.
        container: Any = av.open(
            f"file:{path}", format=known, metadata_errors="replace", options=options
        )
    except MemoryError:
        raise VideoError(path, NO_MEMORY) from None
    except (av.FFmpegError, OSError, ValueError):
        raise VideoError(path, cut_off_or(path, not_a_video(path))) from None
    try:
        name = container.format.name
        if name.startswith("image2") or name.endswith("_pipe"):
            raise VideoError(path, "is a still picture, not a video")
        stream = container.streams.best("video")
        if stream is None:
            kinds = sorted({s.type for s in container.streams})
            why = f"has no picture, only {' and '.join(kinds) or 'nothing'}"
            raise VideoError(path, cut_off_or(path, why))
        if stream.disposition & av.stream.Disposition.attached_pic:
            raise VideoError(path, "has no video, only sound and a cover picture")
        if stream.codec_context is None:
            why = "is in a format that no installed decoder knows"
            raise VideoError(path, cut_off_or(path, why))
        stream.thread_count = 1
        limit_frames(stream, limits)
        limits.check_size(path, stream.codec_context.width, stream.codec_context.height)
        return container, stream
    except BaseException:
        container.close()
        raise


def limit_frames(stream: Any, limits: Limits) -> None:
    """Let the stream's decoder make room for frames up to the limit only."""
    stream.codec_context.options = {"max_pixels": max_pixels(limits)}


def max_pixels(limits: Limits) -> str:
    """FFmpeg's option of that name.

    FFmpeg compares sides that it has rounded up: this leaves room for that, and who takes the
    frames compares their own.
    """
    return str(min(limits.pixels * 5 // 4 + (1 << 20), FFMPEG_PIXELS))


def _known_format(path: Path) -> str | None:
    """FFmpeg's name of a format that the first bytes show beyond doubt.

    Else FFmpeg asks all formats that it knows, which takes longer than to open a small file.
    """
    with path.open("rb", buffering=0) as file:
        start = file.read(12)
    if start[4:8] == b"ftyp" and start[:3] == b"\0\0\0" and 16 <= start[3] < 128:
        return None if start[8:12] in _JPEG_2000 else MP4
    return None


@functools.cache
def formats() -> str:
    """FFmpeg's option of that name: all but those that open other files or addresses."""
    names = {n for several in av.formats_available for n in several.split(",")}
    return ",".join(sorted(names - _REFUSED_FORMATS))
