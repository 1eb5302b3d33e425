"""When the frames of a video are shown, for sampling by time.

The time stamps of packets say it where every packet becomes a frame; else the frames are decoded.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from ..containers.formats import open_video
from ..containers.limits import LIMITS, Limits
from .array_file import is_array_file
from .frames_or_errors import frames_or_errors
from .spec import SamplingSpec

Times = npt.NDArray[np.float64]
"""Seconds at which each frame begins, and behind them when the last one ends: [frames + 1]."""


def times_for(
    path: str | Path, frames: int, spec: SamplingSpec, *, limits: Limits = LIMITS
) -> Times | None:
    """The times that `sample_indices` needs for a video; None where it needs none.

    Args:
        path: a video file; folders of pictures and arrays of frames have no time stamps.
        frames: how many it has.
        spec: how it is sampled.
        limits: how large the video may be.

    Returns:
        None also where the file has no time stamps, or not one for each frame.

    Raises:
        VideoError: it cannot be opened.
    """
    if spec.by == "frame" or os.path.isdir(path) or is_array_file(path):
        return None
    return frame_times(Path(path), frames, limits)


def frame_times(path: Path, frames: int | None = None, limits: Limits = LIMITS) -> Times | None:
    """When each of so many frames of a video file is shown; None: it does not say.

    `frames` None: as many as there are time stamps.
    """
    for decoded in (False, True):
        stamps, base = _stamps(path, limits, decoded=decoded)
        if len(stamps) == frames or (frames is None and stamps):
            return times_of(sorted(stamps), base)
    return None


def times_of(stamps: Sequence[tuple[int, int]], base: Fraction) -> Times | None:
    """Times from stamps and durations of frames, in units of `base` seconds; None: all at once."""
    begins = np.array([stamp for stamp, _ in stamps], np.float64)
    last = float(stamps[-1][1])
    if last <= 0:  # it does not say how long the last frame is shown
        last = float(np.median(np.diff(begins))) if len(begins) > 1 else 1.0
    times = np.append(begins, begins[-1] + last) * float(base)
    return times if times[-1] > times[0] else None


def _stamps(path: Path, limits: Limits, *, decoded: bool) -> tuple[list[tuple[int, int]], Fraction]:
    """Time stamp and duration of every frame, or of every packet."""
    container, stream = open_video(path, limits, probe=decoded)
    with container:
        seen = frames_or_errors(container, stream) if decoded else _packets(container, stream)
        stamps = [
            (one.pts, one.duration or 0)
            for one in seen
            if not isinstance(one, Exception) and one.pts is not None
        ]
        return stamps, Fraction(stream.time_base or 1)


def _packets(container: Any, stream: Any) -> Iterator[Any]:
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError, OSError):
            return
        if packet.size and not packet.is_discard:
            yield packet
