"""Open a video file and find the stream to decode, or say in one line why there is none."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import av

from infer.damage import cut_off_or
from infer.errors import VideoError
from infer.file_kind import not_a_video

# Playlists, which would open other files or addresses (and wait for a live one to grow), and text
# shown as pictures. They are not even tried.
_REFUSED_FORMATS = frozenset(
    ("hls", "applehttp", "dash", "webm_dash_manifest", "concat", "imf", "sdp", "rtsp", "rtp", "tty")
)


def check_file(path: Path) -> None:
    """Raises VideoError unless this is a file with something in it that may be read."""
    try:
        if path.is_dir():
            raise VideoError(path, "is a folder, not a video file")
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "no such file"
            raise VideoError(path, what)
        if path.stat().st_size == 0:
            raise VideoError(path, "the file is empty")
        with path.open("rb"):
            pass
    except OSError as error:
        raise VideoError(path, f"cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise VideoError(path, f"not a usable file name: {error}") from None


def open_video(path: Path) -> tuple[Any, Any]:
    """Container and its best video stream, decoding in one thread (order and damage are then
    the same every time; files are decoded side by side instead).

    Raises:
        VideoError: there is none, and why; that the file was cut off comes before all else.
    """
    try:
        # "file:" so that a name like "a:b.mp4" is not taken for a protocol.
        container: Any = av.open(
            f"file:{path}",
            metadata_errors="replace",
            options={"protocol_whitelist": "file", "format_whitelist": _formats()},
        )
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
        return container, stream
    except BaseException:
        container.close()
        raise


@functools.cache
def _formats() -> str:
    names = {n for several in av.formats_available for n in several.split(",")}
    return ",".join(sorted(names - _REFUSED_FORMATS))
