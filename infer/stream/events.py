"""Windows of one class in a row are one event: hysteresis, bridged gaps, least duration."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class EventRules:
    """When an event begins and ends.

    Attributes:
        begin: score of a class in a window from which an event of it begins.
        keep: score from which it goes on; at most `begin`.
        gap: seconds between two events of a class that make them one.
        least: seconds that an event lasts at least; a shorter one is none.
    """

    begin: float = 0.5
    keep: float = 0.5
    gap: float = 0.0
    least: float = 0.0


@dataclass(frozen=True)
class Event:
    """A class that was seen.

    Attributes:
        start, end: seconds, from the first of its windows to the last.
        index: of the class.
        score: mean of its scores in the windows.
        windows: how many.
    """

    start: float
    end: float
    index: int
    score: float
    windows: int


@dataclass
class _Run:
    start: float
    end: float
    total: float
    windows: int
    ended: bool = False


class Events:
    """Events of all classes, from the scores of one window after the other."""

    def __init__(self, rules: EventRules) -> None:
        self._rules = rules
        self._runs: dict[int, _Run] = {}

    def add(self, start: float, end: float, scores: Sequence[float]) -> list[Event]:
        """Take a window; the events that have ended for good by it.

        Args:
            start: seconds; not before that of the window before.
            end: seconds.
            scores: of all classes, by their index.
        """
        done: list[Event] = []
        for index, score in enumerate(scores):
            run = self._runs.get(index)
            if run is not None and start - run.end > self._rules.gap:
                done += self._closed(index)
                run = None
            if run is not None and not run.ended and score >= self._rules.keep:
                self._extend(run, end, score)
            elif score >= self._rules.begin:
                if run is None:
                    self._runs[index] = _Run(start, end, score, 1)
                else:
                    run.ended = False
                    self._extend(run, end, score)
            elif run is not None:
                run.ended = True
                if start - run.end >= self._rules.gap:  # the next window begins later than this
                    done += self._closed(index)
        return sorted(done, key=lambda event: (event.start, event.index))

    def finish(self) -> list[Event]:
        """The events that the end of the source ends."""
        done = [event for index in list(self._runs) for event in self._closed(index)]
        return sorted(done, key=lambda event: (event.start, event.index))

    def _extend(self, run: _Run, end: float, score: float) -> None:
        run.end, run.total, run.windows = max(run.end, end), run.total + score, run.windows + 1

    def _closed(self, index: int) -> Iterator[Event]:
        run = self._runs.pop(index)
        if run.end - run.start >= self._rules.least:
            yield Event(run.start, run.end, index, run.total / run.windows, run.windows)
