"""The true classes of videos, from a list as training reads it: `path [frames] label` a line.

Lines are split from the right, so a path may hold spaces; blank lines and those that begin with #
are skipped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..system.errors import ClipDuetError, listed, os_reason
from ..system.terminal import counted, printable
from .name_lists import split_line

if TYPE_CHECKING:
    from ..pipeline.predictions import Prediction

SHOWN = 20
"""Wrong lines that the message spells out; the rest is counted."""


@dataclass
class Labels:
    """The true class of each listed video, and how many of those that were seen are right.

    Attributes:
        classes: names, by number.
        numbers: number of the class, by the video's real path.
        seen: videos with a label so far.
        right: of these, those with the right answer.
        unread: of these, unreadable ones, which count as wrong.
    """

    classes: Sequence[str]
    numbers: Mapping[str, int]
    seen: int = field(default=0, init=False)
    right: int = field(default=0, init=False)
    unread: int = field(default=0, init=False)

    def of(self, video: Path | None) -> int | None:
        """Number of the true class; None where the list does not have the video."""
        return None if video is None else self.numbers.get(os.path.realpath(video))

    def name_of(self, video: Path) -> str | None:
        """Name of the true class; None where the list does not have the video."""
        number = self.of(video)
        return None if number is None else self.classes[number]

    def record(self, prediction: Prediction) -> dict[str, Any]:
        """`true_label`, `true_index` and `correct`, JSON-ready; None for a video without label."""
        number = self.of(prediction.video)
        if number is None:
            return {"true_label": None, "true_index": None, "correct": None}
        correct = prediction.error is None and prediction.topk[0].index == number
        return {"true_label": self.classes[number], "true_index": number, "correct": correct}

    @property
    def head(self) -> str:
        """What stands above `cells` in a table."""
        return f"{'':5}  {'true label':{self._width}}  "

    def cells(self, prediction: Prediction) -> str:
        """Mark and true label of a row of a table."""
        found = self.record(prediction)
        mark = {True: "right", False: "wrong", None: "-"}[found["correct"]]
        return f"{mark:5}  {printable(str(found['true_label'] or '-')):{self._width}}  "

    @property
    def _width(self) -> int:
        return max(len("true label"), *(len(printable(name)) for name in self.classes))

    def count(self, prediction: Prediction) -> None:
        """Take in one prediction for the summary."""
        correct = self.record(prediction)["correct"]
        if correct is not None:
            self.seen += 1
            self.right += bool(correct)
            self.unread += prediction.error is not None

    def summary(self) -> str:
        """How many are right, in one line."""
        text = f"{self.right} of {self.seen} videos with a true label are right"
        return text + (f"; {self.unread} unreadable count as wrong" if self.unread else "")


def read_labels(
    file: Path, classes: Sequence[str], videos: Iterable[Path], *, root: Path | None = None
) -> Labels:
    """Read a list.

    Args:
        file: lines of `path label`, or `path frames label` of a folder; labels count from 0.
        classes: names of the classes, which the labels number.
        videos: those that will be asked for.
        root: folder that relative paths start from; None: the list's own.

    Raises:
        ClipDuetError: it cannot be read, has wrong lines, or none of the videos.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ClipDuetError(f"--labels {file}: {os_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise ClipDuetError(
            f"--labels {file}: not a text file in UTF-8 (byte {error.start})"
        ) from error
    base = file.parent if root is None else root
    numbers: dict[str, int] = {}
    problems = []
    for count, line in enumerate(text.split("\n"), 1):
        if not line.strip() or line.strip().startswith("#"):
            continue
        path, _, label = line.strip().replace("\t", " ").rpartition(" ")
        if not path or not re.fullmatch(r"\d{1,9}", label) or int(label) >= len(classes):
            allowed = f"`path label` with a label from 0 to {len(classes) - 1}"
            problems.append(f"line {count}: {line.strip()[:80]!r}, allowed: {allowed}")
            continue
        path, _ = split_line(path.strip(), base)
        if numbers.setdefault(os.path.realpath(base / path), int(label)) != int(label):
            problems.append(f"line {count}: {path} has another label further up")
    if problems:
        raise ClipDuetError(listed(f"--labels {file}", problems, most=SHOWN))
    labels = Labels(classes, numbers)
    wanted = list(videos)
    if wanted and all(labels.of(video) is None for video in wanted):
        videos_asked = counted(len(wanted), "video")
        raise ClipDuetError(
            f"--labels {file} has none of the {videos_asked}; relative paths in it start from "
            f"{base}: --root names another folder"
        )
    return labels
