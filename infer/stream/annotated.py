"""`--save-video`: a long video again, with the answer of each window drawn on its frames."""

from __future__ import annotations

from bisect import bisect_right
from pathlib import Path

from ..command.pictures import check_new, files_in
from ..containers.limits import Limits
from ..pipeline.annotated import ROWS, save_windows
from ..pipeline.rank import Ranked
from ..system.errors import ClipDuetError
from .classify import WindowPrediction
from .source import Source

_SAME = 1e-6
"""Seconds: times of windows are exact, those of frames are rounded."""


class AnnotatedVideo:
    """Remembers the answers of windows, and writes the video at the end."""

    def __init__(
        self, named: str, source: Source, *, bundle: Path, overwrite: bool, limits: Limits
    ) -> None:
        """Check where it goes.

        Raises:
            ClipDuetError: the source is no file, or the folder cannot be used.
        """
        shown = f"--save-video {named}"
        if source.live:
            raise ClipDuetError(f"{shown} reads the source a second time: only files allow that")
        self._video, self._limits = Path(source.name), limits
        files = files_in(named, [self._video], ".mp4", shown=shown, bundle=bundle)
        self.path = files[self._video]
        check_new([self.path], overwrite=overwrite)
        self._starts: list[float] = []
        self._answers: list[tuple[float, tuple[Ranked, ...]]] = []

    def add(self, found: WindowPrediction) -> None:
        """Remember the answer of the next window."""
        self._starts.append(found.start)
        self._answers.append((found.end, found.topk[:ROWS]))

    def save(self) -> None:
        """Write the video, unless there was no window.

        Raises:
            VideoError: it cannot be read again, or does not say when its frames are shown.
            WriteError: the file cannot be written.
        """
        if self._answers:
            rows = max(len(topk) for _, topk in self._answers)
            save_windows(self.path, self._video, self.topk_at, rows, self._limits)

    def topk_at(self, time: float) -> tuple[Ranked, ...]:
        """The answer of the newest window that a time is in; nothing between two windows."""
        place = bisect_right(self._starts, time + _SAME) - 1
        if place < 0 or time + _SAME >= self._answers[place][0]:
            return ()
        return self._answers[place][1]
