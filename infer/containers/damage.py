"""How much of a video is missing at its end, by its structure and its own time stamps.

FFmpeg reads a file that was cut off without a word up to where it ends.
"""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from typing import Any

import av

from .file_structures import CONTAINERS, FileReader

_DURATION = re.compile(rb"\x44\x89[\x84\x88]")
"""Matroska's element of the whole duration: identifier and size."""


class LastPackets:
    """Where the streams of a file end, packet by packet, and whether that is where they should."""

    def __init__(self, video: Any) -> None:
        self._video = video
        self._first: int | None = None  # of the video, in its own units
        self._last = 0
        self._index: int = video.index
        self._ends: dict[int, int] = {}  # by stream, in its units

    def see(self, packet: Any) -> None:
        """To be called with every packet of every stream."""
        time = packet.pts
        if time is None:
            time = packet.dts
            if time is None:
                return
        stream = packet.stream_index
        if stream == self._index:
            if self._first is None:
                self._first = self._last = time
            elif time > self._last:
                self._last = time
            elif time < self._first:
                self._first = time
        end = time + (packet.duration or 0)
        if end > self._ends.get(stream, end - 1):
            self._ends[stream] = end

    @property
    def seconds(self) -> float:
        """From the first to the last time stamp of the video."""
        return float((self._last - (self._first or 0)) * (self._video.time_base or 0))

    def lost(self, path: Path, container: Any) -> str:
        """What shows that the file's end is missing, or ""."""
        cut = cut_off(path)
        declared = _declared_end(path, container, self._video)
        if container.format.name == "avi" and not cut:
            declared = None  # its count of frames is often wrong where the file is whole
        if declared and self._first is not None:
            seconds, from_zero = declared
            if from_zero:
                streams = container.streams
                seen = max(float(end * streams[k].time_base) for k, end in self._ends.items())
            else:
                seen = float(self._ends[self._index] * self._video.time_base)
                seen -= float(self._first * self._video.time_base)
            # Headers round, and count a frame more or less. Without another sign it takes more.
            if seen < seconds - (0.05 if cut else max(1.0, 0.05 * seconds)):
                return f"cut off: ends after {seen:.2f} of {seconds:.2f} seconds"
        return f"cut off: {cut}" if cut else ""


def cut_off(path: Path) -> str | None:
    """What shows that the end of a file is missing, for example "its end mark is missing".

    None: the file is whole, or of a container that does not say where it ends (raw streams, and
    MPEG-TS or MPEG-PS that were cut between two packets).
    """
    try:
        with path.open("rb", buffering=0) as file:
            seen = FileReader(file.fileno(), os.fstat(file.fileno()).st_size)
            start = seen.at(0, 400)
            if seen.size < 8:
                are = "1 byte is" if seen.size == 1 else f"{seen.size} bytes are"
                return f"only {are} there"
            for begins, look in CONTAINERS:
                if begins(start):
                    return look(seen)
    except (OSError, ValueError, LookupError, struct.error):
        return None  # unreadable, or of no structure that could be followed
    return None


def cut_off_or(path: Path, otherwise: str) -> str:
    """Why nothing can be read of a file: that it was cut off if so, else what is given."""
    cut = cut_off(path)
    return f"cut off: {cut}" if cut else otherwise


def frames_warning(lost: str, frames: int, header: int | None) -> str:
    """One line about a damaged video that was read nevertheless.

    Args:
        lost: what is missing, or "": then it is damaged somewhere.
        frames: that decode.
        header: frames that it claims; None: it does not say.
    """
    many = "1 frame decodes" if frames == 1 else f"{frames} frames decode"
    found = f"{lost or 'damaged in places'}; {many}"
    return found if header is None else f"{found}, the header claims {header}"


def _declared_end(path: Path, container: Any, stream: Any) -> tuple[float, bool] | None:
    """When a video ends by its header, in seconds; None: it does not say.

    Returns:
        The seconds, and whether they count from time stamp 0 over all streams (else from the video
        stream's own first time stamp).
    """
    # FFmpeg also gives a duration where the header has none: then it is guessed from the file's
    # size. These are the containers whose figure is the header's.
    name = container.format.name
    if name == "avi":
        rate = stream.average_rate
        return (stream.frames / float(rate), False) if rate and stream.frames else None
    if name.startswith("mov,") or name == "ivf":
        length = stream.duration
        return (float(length * stream.time_base), False) if length and stream.frames else None
    if name.startswith("matroska"):
        tag = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
        if tag:
            return int(tag[1]) * 3600 + int(tag[2]) * 60 + float(tag[3]), True
        with path.open("rb") as file:
            if _DURATION.search(file.read(1 << 16)) is None:
                return None
    elif name not in ("flv", "gxf", "rm"):
        return None
    return (container.duration / av.time_base, True) if container.duration else None
