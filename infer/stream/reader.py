"""Frames of a source, opened again where it goes away, as windows and gaps.

What cannot be done in time is left out: frames that are too late are not converted, and the windows
that they belong to are counted. A window has all its frames or is none.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from ..clips.pixel_aspect import shown_aspect
from ..clips.preprocess import scale_frame
from ..clips.shown_frames import Lost, shown_frames
from ..clips.spec import ClipSpec
from ..containers.damage import LastPackets, cut_off_or, frames_warning
from ..containers.limits import LIMITS, Limits
from ..system.errors import SpecError, VideoError
from .cut import Cutter, Window
from .source import Source, SourceError, open_source, reason_of, silent

JUMP = 10
"""Seconds without a frame from which a live source has a gap."""
_LONGEST_WAIT = 30.0
_FIRST_WAIT = 0.5


@dataclass(frozen=True)
class Gap:
    """A time of which there are no frames: seconds, and why."""

    start: Fraction
    end: Fraction
    reason: str


@dataclass
class Counts:
    """What happened on the way.

    Attributes:
        frames: that were decoded.
        damaged: places where the bitstream did not decode, or decoded with errors.
        left_out: windows for which there was no time.
        reconnects: how often the source was opened again.
        lag: largest delay of a window in seconds, from its last frame to its answer.
        warning: what is missing although there are answers, such as the end of a file; or "".
    """

    frames: int = 0
    damaged: int = 0
    left_out: int = 0
    reconnects: int = 0
    lag: float = 0.0
    warning: str = ""


@dataclass(frozen=True)
class Patience:
    """How a live source is treated.

    Attributes:
        lag: seconds that frames may be late; later ones are left out. Infinity: none are.
        silence: seconds that the source may send nothing.
        tries: how often in a row it is opened again; 0: it ends where it goes away.
    """

    lag: float = math.inf
    silence: float = 10.0
    tries: int = 10


class Reader:
    """Reads one source, once."""

    def __init__(
        self,
        source: Source,
        spec: ClipSpec,
        cutter: Cutter,
        *,
        patience: Patience,
        limits: Limits = LIMITS,
        duration: Fraction | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Set it up; `duration`: seconds after which it ends."""
        self.counts = Counts()
        self._source, self._spec, self._cutter = source, spec, cutter
        self._patience, self._limits, self._clock = patience, limits, clock
        self._duration = duration
        self._stop = threading.Event()
        self._offset = Fraction(0)
        self._first: Fraction | None = None
        self._aligned = True
        """Whether time stamps of this connection follow those of the last one."""
        self._last: tuple[Fraction, Fraction] | None = None
        """When the last frame began and ended."""
        self._base = math.inf
        """What the clock says at time 0, by the frame that came soonest."""
        self._skipping: Fraction | None = None
        """Where the first window begins that is left out now."""
        self._lost: set[Lost] = set()

    def stop(self) -> None:
        """End as soon as the next frame comes."""
        self._stop.set()

    def lag(self, end: Fraction) -> float:
        """Seconds from the end of a window, when it would come soonest, to now."""
        return max(self._clock() - float(end) - self._base, 0.0)

    def items(self) -> Iterator[Window | Gap]:
        """Windows and gaps in their order.

        Raises:
            VideoError, SourceError: the source cannot be opened, has no frame that decodes, or
                does not come back.
        """
        opened: tuple[Any, Any] | None = open_source(
            self._source, self._limits, seconds=self._patience.silence
        )
        while opened is not None:
            container, stream = opened
            codec = stream.codec_context.name
            ends = None if self._source.live else LastPackets(stream)
            self._lost.clear()
            try:
                yield from self._frames(container, stream, ends)
                self._warn(container, stream, ends)
            finally:
                container.close()
            yield from self._cutter.flush()
            if not self._source.live or not self._patience.tries or self._stop.is_set():
                if not self.counts.frames and not self._stop.is_set():
                    raise self._nothing_decodes(codec)
                return
            lost = self._clock()
            opened = self._opened_again()
            if opened is None:
                return
            self.counts.reconnects += 1
            self._base, self._skipping = math.inf, None
            if self._last is not None:
                # Time stamps may begin anew: the clock says how long it was away.
                away = Fraction(round((self._clock() - lost) * 1000), 1000)
                end = self._last[1]
                self._last = (end + away, end + away)
                self._offset = Fraction(0)
                self._aligned = False
                yield Gap(end, end + away, f"the source {self._why_away()}")

    def _why_away(self) -> str:
        is_silent = Lost.SILENT in self._lost
        return silent(self._patience.silence) if is_silent else "went away"

    def _warn(self, container: Any, stream: Any, ends: LastPackets | None) -> None:
        """Say what is missing of a file, as `predict` does, or why a live source ended."""
        if ends is None:
            if Lost.SILENT in self._lost and not self._patience.tries:
                self.counts.warning = silent(self._patience.silence)
            return
        lost, header = "", None
        if not self._stop.is_set():  # else its end was not read
            lost = ends.lost(Path(self._source.name), container)
            header = max(int(stream.frames), 0) or None
        told = "; ".join(filter(None, (lost, self._left_out())))
        if told or self.counts.damaged:
            self.counts.warning = frames_warning(told, self.counts.frames, header)

    def _left_out(self) -> str:
        if Lost.TOO_LARGE not in self._lost:
            return ""
        return f"left out: frames of more than {self._limits.pixels:,} pixels (--max-pixels)"

    def _nothing_decodes(self, codec: str) -> Exception:
        why, left_out = f"no frame decodes ({codec})", self._left_out()
        if self._source.live:
            return SourceError(f"{self._source.shown}: {self.counts.warning or left_out or why}")
        path = Path(self._source.name)
        return VideoError(path, f"{why}; {left_out}" if left_out else cut_off_or(path, why))

    def _opened_again(self) -> tuple[Any, Any] | None:
        problem = ""
        for number in range(self._patience.tries):
            if self._stop.wait(min(_FIRST_WAIT * 2**number, _LONGEST_WAIT)):
                return None
            try:
                return open_source(self._source, self._limits, seconds=self._patience.silence)
            except (SourceError, VideoError) as error:
                problem = reason_of(error, seconds=self._patience.silence)
        raise SourceError(
            f"{self._source.shown} {self._why_away()} and did not come back, after "
            f"opening it {self._patience.tries} times: {problem}"
        )

    def _frames(
        self, container: Any, stream: Any, ends: LastPackets | None
    ) -> Iterator[Window | Gap]:
        base = Fraction(stream.time_base or 1)
        rate = stream.average_rate or stream.guessed_rate
        usual = 1 / Fraction(rate) if rate else Fraction(1, 25)
        path = Path(self._source.shown)
        see = None if ends is None else ends.see
        for frame in shown_frames(path, container, stream, self._limits, see=see):
            if self._stop.is_set():
                return
            if isinstance(frame, Lost):
                self._lost.add(frame)
                self.counts.damaged += frame is not Lost.SILENT
                continue
            self.counts.frames += 1
            self.counts.damaged += frame.damaged
            length = frame.duration * base if frame.duration > 0 else usual
            if frame.stamp is not None:
                begin = frame.stamp * base + self._offset
            else:
                begin = self._last[1] if self._last else Fraction(0)
            begin = yield from self._checked(begin)
            self._last = (begin, begin + length)
            if self._first is None:
                self._first = begin
            if self._duration is not None and begin - self._first >= self._duration:
                self._stop.set()
                return
            if not self._is_late(begin, stream, key=frame.key):
                aspect = 1.0
                if self._spec.preprocess.square_pixels:
                    aspect = shown_aspect(stream, turned=frame.turned)
                try:
                    pixels = scale_frame(frame.picture(), self._spec.preprocess, aspect=aspect)
                except SpecError as error:
                    raise VideoError(path, str(error)) from None
                yield from self._cutter.add(begin, begin + length, pixels)

    def _checked(self, begin: Fraction) -> Generator[Window | Gap, None, Fraction]:
        """A time that goes on from the last one, after what a jump of it ends."""
        if self._last is None:
            return begin
        before, end = self._last
        if not self._aligned:
            self._aligned = True
            self._offset += end - begin
            return end
        if begin < before:
            yield from self._cutter.flush()
            yield Gap(end, end, "time stamps jump back")
            self._offset += end - begin
            self._base = math.inf
            return end
        if self._source.live and begin - end > JUMP:
            yield from self._cutter.flush()
            yield Gap(end, begin, "no frames came")
        return begin

    def _is_late(self, begin: Fraction, stream: Any, *, key: bool) -> bool:
        """Whether a frame of a live source comes too late to be used."""
        if not self._source.live:
            return False
        self._base = min(self._base, self._clock() - float(begin))
        lag = self.lag(begin)
        if self._skipping is None:
            if lag <= self._patience.lag:
                return False
            self._skipping = self._cutter.start if self._cutter.held else begin
            self._cutter.restart()
            stream.codec_context.skip_frame = "NONKEY"  # which is much faster
            return True
        if lag > self._patience.lag / 2 or not key:
            return True
        stream.codec_context.skip_frame = "DEFAULT"
        self.counts.left_out += self._cutter.windows_between(self._skipping, begin)
        self._skipping = None
        return False
