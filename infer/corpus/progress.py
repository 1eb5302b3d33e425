"""How far a run is: a line on a terminal, else a message from time to time."""

from __future__ import annotations

import sys
import time

from ..system.log import logger
from ..system.terminal import ProgressLine, can_redraw

log = logger(__name__)

BETWEEN = 60.0
"""Seconds between two messages."""


class Progress:
    """Counts answers, and tells how many, how fast, and how long it takes."""

    def __init__(self, before: int, total: int) -> None:
        """Args: answers that were there before, and those that there will be."""
        self._before, self._total = before, total
        self._told = time.monotonic()
        self._first: tuple[int, float] | None = None
        """How many came first, and when: what was before that is start."""
        self._count = 0
        self._line = ProgressLine()

    @property
    def speed(self) -> float:
        """Answers a second since the first; 0 where there is none after that."""
        if self._first is None:
            return 0.0
        count, since = self._first
        return (self._count - count) / max(time.monotonic() - since, 1e-9)

    def count(self, answers: int) -> None:
        """Some more are there."""
        self._count += answers
        self._first = self._first or (answers, time.monotonic())
        done, speed = self._before + self._count, self.speed
        left = duration((self._total - done) / speed) if speed else "unknown time"
        text = f"{speed:.1f} clips/s, {left} left"
        if can_redraw(sys.stderr):
            self._line.clear()
            self._line.draw(done, self._total, text)
        elif time.monotonic() - self._told >= BETWEEN:
            self._told = time.monotonic()
            log.info(f"{done:,} of {self._total:,}; {text}")

    def clear(self) -> None:
        """Remove the line."""
        self._line.clear()


def duration(seconds: float) -> str:
    """A time for people, such as "1 h 5 min"."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return f"{round(seconds)} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes / 60 / 24:.1f} days"
