"""A source through the network, a window at a time.

Example:
    import clipduet
    from clipduet.stream.classify import classify

    with clipduet.load("bundles/mine") as model:
        for found in classify(model, "long.mp4", window=10, stride=5):
            print(found)
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..api import Model
from ..bundle.bundle import Bundle
from ..containers.limits import LIMITS, Limits
from ..pipeline.rank import Ranked
from ..system.abandoned import start_abandoned
from ..system.errors import ClipDuetError
from .cut import Cutter, Window
from .reader import Counts, Gap, Patience, Reader
from .source import source_of

MEMORY = 2 << 30
"""Bytes that the frames of a window may take."""


@dataclass(frozen=True)
class WindowPrediction:
    """What came out for one window.

    Attributes:
        start, end: seconds, by the source's time stamps; the end of a partial window is that of
            its last frame.
        topk: the best classes, best first.
        frames: how many it has.
        partial: whether the source ended before the window did.
        lag: seconds from its end to its answer; None for a file.
        logits: float32 [views * crops, classes], as the network gave them.
    """

    start: float
    end: float
    topk: tuple[Ranked, ...]
    frames: int
    partial: bool
    lag: float | None
    logits: npt.NDArray[np.float32] = field(repr=False, compare=False)

    @property
    def label(self) -> str:
        """Name of the best class."""
        return self.topk[0].label

    @property
    def score(self) -> float:
        """Probability of the best class, 0 to 1."""
        return self.topk[0].score

    def __str__(self) -> str:
        shown = ", ".join(f"{one.label} {one.score:.3f}" for one in self.topk)
        return f"{self.start:.3f} to {self.end:.3f} s: {shown}"


def classify(
    model: Model,
    source: str | Path,
    *,
    window: float | Fraction | None = None,
    stride: float | Fraction | None = None,
    top_k: int = 5,
    complete: bool = False,
    max_lag: float | None = None,
    timeout: float = 10.0,
    reconnect: int = 10,
    duration: float | Fraction | None = None,
    memory: int = MEMORY,
    limits: Limits = LIMITS,
    counts: Counts | None = None,
) -> Iterator[WindowPrediction | Gap]:
    """Classify a long video or a live source, a window at a time.

    The frames of a window are sampled, scaled and cropped as those of a file that has only them.
    Each frame is decoded and scaled once, and is in memory no longer than a window needs it. The
    last window may be shorter: it holds what no window before it had.

    Args:
        model: that classifies.
        source: a file, a camera (`/dev/video0`) or an address (`source.PROTOCOLS`).
        window: seconds of a window; None: the median length of the clips that the bundle's network
            was trained on.
        stride: seconds from the start of one window to that of the next; None: `window`.
        top_k: classes in each prediction.
        complete: live sources: leave no window out, however late it comes.
        max_lag: live sources: seconds that frames may be late before windows are left out; None:
            the longer one of 2 seconds and `window`.
        timeout: live sources: seconds that nothing may come.
        reconnect: live sources: how often in a row one that went away is opened again.
        duration: seconds after which to end.
        memory: bytes that the frames of a window may take.
        limits: how large frames may be.
        counts: is given what happened on the way.

    Returns:
        Predictions in the order of time, and gaps of live sources. Close the iterator to stop.

    Raises:
        ClipDuetError: wrong arguments, or a window that takes too much memory.
        VideoError, SourceError: the source cannot be opened, or went away for good.
    """
    length = window_seconds(model.bundle) if window is None else _seconds("window", window)
    step = length if stride is None else _seconds("stride", stride)
    found = source_of(str(source))
    spec = model.bundle.spec
    late = math.inf if complete else max_lag if max_lag is not None else max(float(length), 2.0)
    reader = Reader(
        found,
        spec,
        Cutter(spec, window=length, stride=step, memory=memory),
        patience=Patience(late, timeout, reconnect),
        limits=limits,
        duration=None if duration is None else _seconds("duration", duration),
    )
    if counts is not None:
        reader.counts = counts
    items = _live(reader, complete=complete) if found.live else reader.items()
    return _answers(model, reader, items, top_k, live=found.live)


def window_seconds(bundle: Bundle) -> Fraction:
    """Seconds of a window where none are given.

    Raises:
        ClipDuetError: the bundle does not say how long its training clips were.
    """
    if bundle.clip_seconds is None:
        raise ClipDuetError(
            f"{bundle.root} does not say how long the clips were that it was trained on: give the "
            "seconds of a window (--window), or export the bundle again"
        )
    return _seconds("clip_length.median_seconds", bundle.clip_seconds)


def _answers(
    model: Model, reader: Reader, items: Iterator[Window | Gap], k: int, *, live: bool
) -> Iterator[WindowPrediction | Gap]:
    for item in items:
        if isinstance(item, Gap):
            yield item
            continue
        logits = model.logits(item.clips)
        lag = reader.lag(item.end) if live else None
        reader.counts.lag = max(reader.counts.lag, lag or 0.0)
        ranked = tuple(model.ranked(logits, k))
        yield WindowPrediction(
            float(item.start), float(item.end), ranked, item.frames, item.partial, lag, logits
        )


def _live(reader: Reader, *, complete: bool) -> Iterator[Window | Gap]:
    """Read in a thread: the source does not wait for the network."""
    waiting = _Waiting(reader.counts, complete=complete)

    def read() -> None:
        error: Exception | None = None
        try:
            for item in reader.items():
                waiting.put(item)
        except Exception as problem:
            error = problem
        waiting.end(error)

    # It may wait for the source when this ends, and must not be waited for.
    start_abandoned(read, name="stream")
    try:
        while (item := waiting.get()) is not None:
            yield item
    finally:
        reader.stop()
        waiting.stop()


class _Waiting:
    """What waits for the network: gaps, and the newest window only unless all are wanted."""

    def __init__(self, counts: Counts, *, complete: bool) -> None:
        self._counts, self._complete = counts, complete
        self._items: deque[Window | Gap] = deque()
        self._changed = threading.Condition()
        self._ended = self._stopped = False
        self._error: Exception | None = None

    def put(self, item: Window | Gap) -> None:
        with self._changed:
            if isinstance(item, Window):
                if self._complete:
                    self._changed.wait_for(lambda: self._stopped or not self._windows())
                for late in self._windows():
                    self._items.remove(late)
                    self._counts.left_out += 1
            self._items.append(item)
            self._changed.notify_all()

    def get(self) -> Window | Gap | None:
        with self._changed:
            # Not for ever at once: a signal would not be seen.
            while not self._items and not self._ended:
                self._changed.wait(0.2)
            if self._items:
                self._changed.notify_all()
                return self._items.popleft()
        if self._error is not None:
            raise self._error
        return None

    def end(self, error: Exception | None) -> None:
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify_all()

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify_all()

    def _windows(self) -> list[Window]:
        return [item for item in self._items if isinstance(item, Window)]


def _seconds(name: str, value: float | Fraction) -> Fraction:
    """Exactly what was written: 0.1 is a tenth."""
    found = Fraction(0)
    with suppress(ValueError, OverflowError):
        found = value if isinstance(value, Fraction) else Fraction(str(value))
    if found <= 0:
        raise ClipDuetError(f"{name} is {value}; allowed: seconds above 0")
    return found
