"""Frames into windows: each is kept once, however many windows share it, and no longer than needed.

Times are fractions of seconds, so that a frame at the border of two windows is in the second one.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice

import numpy as np

from ..clips.decode import Frames
from ..clips.preprocess import clips_of_scaled
from ..clips.spec import ClipSpec
from ..system.errors import ClipDuetError


@dataclass(frozen=True, eq=False)
class Window:
    """A window that is ready for the network.

    Attributes:
        start, end: seconds, by the source's time stamps.
        clips: uint8 [views * crops, T, crop, crop, 3], as a file of these frames gives them.
        frames: how many frames it has.
        partial: whether the source ended before the window did.
    """

    start: Fraction
    end: Fraction
    clips: Frames
    frames: int
    partial: bool


@dataclass(frozen=True)
class _Frame:
    time: Fraction
    end: Fraction
    pixels: Frames


class Cutter:
    """Cuts the frames of a source into windows, which begin with its first frame."""

    def __init__(
        self, spec: ClipSpec, *, window: Fraction, stride: Fraction, memory: int = 1 << 31
    ) -> None:
        """Set it up.

        Args:
            spec: how clips are made of the frames of a window.
            window: seconds of a window.
            stride: seconds from one window to the next.
            memory: bytes that the frames of a window may take.
        """
        self._spec, self._window, self._stride, self._memory = spec, window, stride, memory
        self._frames: deque[_Frame] = deque()
        self._bytes = 0
        self._origin: Fraction | None = None
        self._next = 0
        self._covered: Fraction | None = None

    @property
    def held(self) -> int:
        """Frames in memory."""
        return len(self._frames)

    def add(self, time: Fraction, end: Fraction, pixels: Frames) -> Iterator[Window]:
        """Take the next frame, and give the windows that end before it.

        Args:
            time: when it is shown, not before the last one.
            end: until when.
            pixels: uint8 [h, w, 3] RGB, scaled.

        Raises:
            ClipDuetError: a window takes more memory than allowed.
        """
        if self._origin is None:
            self._origin = time
        while self._frames and time >= self.start + self._window:
            yield from self._cut(partial=False)
        if not self._frames and time >= self.start + self._window:
            self._next = int((time - self._origin - self._window) // self._stride) + 1
        if time < self.start:  # between two windows
            return
        self._frames.append(_Frame(time, end, pixels))
        self._bytes += pixels.nbytes
        if self._bytes > self._memory:
            raise ClipDuetError(
                f"the frames of a window take more than {self._memory >> 20} MiB: choose a shorter "
                "--window, or more --memory"
            )

    def windows_between(self, start: Fraction, end: Fraction) -> int:
        """How many windows begin in a time, the first one with it."""
        return max(math.ceil((end - start) / self._stride), 1)

    def flush(self) -> Iterator[Window]:
        """The windows that remain at the end: those with frames that no other window had."""
        while self._frames:
            last = self._frames[-1]
            if self._covered is not None and last.time < self._covered:
                break
            yield from self._cut(partial=last.end < self.start + self._window)
        self.restart()

    def restart(self) -> None:
        """Forget the frames and begin anew with the next one."""
        self._frames.clear()
        self._bytes, self._origin, self._next, self._covered = 0, None, 0, None

    @property
    def start(self) -> Fraction:
        """Where the next window begins."""
        return (self._origin or Fraction(0)) + self._next * self._stride

    def _cut(self, *, partial: bool) -> Iterator[Window]:
        start, end = self.start, self.start + self._window
        count = sum(frame.time < end for frame in self._frames)
        if count:
            yield self._made(list(islice(self._frames, count)), start, end, partial)
            self._covered = end
        self._next += 1
        while self._frames and self._frames[0].time < self.start:
            self._bytes -= self._frames.popleft().pixels.nbytes

    def _made(self, frames: list[_Frame], start: Fraction, end: Fraction, partial: bool) -> Window:
        times = None
        if self._spec.sampling.by == "time":
            stamps = [frame.time - start for frame in frames]
            last = frames[-1].end - start
            found = np.array([float(stamp) for stamp in [*stamps, last]])
            times = found if found[-1] > found[0] else None
        clips = clips_of_scaled([frame.pixels for frame in frames], self._spec, times=times)
        return Window(start, frames[-1].end if partial else end, clips, len(frames), partial)
