"""All frames of a video that is open, one after the other, for streams."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import Enum, auto
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import av

from ..containers.limits import Limits
from ..system.errors import NO_MEMORY, VideoError
from .frames_or_errors import frames_or_errors, is_too_large
from .rgb import Frames, ToRgb


class Lost(Enum):
    """What stands in the place of frames that there are not."""

    DAMAGED = auto()
    TOO_LARGE = auto()
    SILENT = auto()
    """The source sent nothing for as long as it may; nothing follows."""


class ShownFrame(NamedTuple):
    """A frame whose pixels are converted when they are asked for.

    stamp      when it is shown, in the stream's units of time; None where it does not say
    duration   for how long, 0 where it does not say
    key        it needs no other frame
    turned     it is rotated by a quarter before it is shown
    damaged    it decoded with errors
    picture    gives uint8 [H, W, 3] RGB, as `read_video` does; raises VideoError
    """

    stamp: int | None
    duration: int
    key: bool
    turned: bool
    damaged: bool
    picture: Callable[[], Frames]


def shown_frames(
    path: Path,
    container: Any,
    stream: Any,
    limits: Limits,
    *,
    see: Callable[[Any], None] | None = None,
) -> Iterator[ShownFrame | Lost]:
    """Frames in their order, as `read_video` counts them, and what is lost between them.

    Args:
        path: of the video, for errors.
        container: of PyAV, open.
        stream: its video stream.
        limits: larger frames are lost.
        see: called with every packet of every stream.

    Raises:
        VideoError: not enough memory.
    """
    rgb: ToRgb | None = None
    for frame in frames_or_errors(container, stream, see=see):
        if isinstance(frame, MemoryError):
            raise VideoError(path, NO_MEMORY)
        if isinstance(frame, av.ExitError):
            yield Lost.SILENT
            continue
        if is_too_large(frame, stream, limits):
            yield Lost.TOO_LARGE
            continue
        if isinstance(frame, Exception):
            yield Lost.DAMAGED
            continue
        if rgb is None:
            rgb = ToRgb(path, frame)
        stamp, duration, key = frame.pts, frame.duration or 0, bool(frame.key_frame)
        damaged = bool(frame.is_corrupt)
        yield ShownFrame(stamp, duration, key, rgb.turned, damaged, partial(rgb, frame))
