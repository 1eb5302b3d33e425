"""`--save-video`: a long video again, with the answer of each window drawn on its frames."""

from __future__ import annotations

import os
from bisect import bisect_right
from pathlib import Path

from ..containers.limits import Limits
from ..pipeline.annotated import ROWS, names_for, save_windows
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
        folder = Path(os.path.realpath(named))
        self.path = names_for([self._video], folder, ".mp4")[self._video]
        if folder.exists() and not folder.is_dir():
            raise ClipDuetError(f"{shown} is no folder; name one")
        if Path(os.path.realpath(bundle)) in (folder, *folder.parents):
            raise ClipDuetError(f"{shown} lies in the bundle; name another folder")
        if os.path.realpath(self.path) == os.path.realpath(self._video):
            raise ClipDuetError(f"{shown}: {self.path} is the video; name another folder")
        if os.path.lexists(self.path) and not overwrite:
            raise ClipDuetError(
                f"{self.path} is there already: name another folder, or add --overwrite"
            )
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
