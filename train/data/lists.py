"""Read a list of labelled videos or frame folders, and report every wrong line at once.

Two formats, those of PaddleVideo:

    VideoDataset   path label            one video file a line
    FrameDataset   path frames label     one folder of images a line

Lines are split from the right, so a path may hold spaces. Blank lines and lines that begin with
`#` are skipped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from infer.system.errors import ClipDuetError, os_reason
from infer.system.files import write_text
from infer.system.limited_files import read_text
from train.config.list_format import FORMATS, FRAME_SUFFIX, ListFormat

if TYPE_CHECKING:
    from train.config.schema.common import Split

UNLABELLED = -1  # the label of a clip that has none
MOST_BYTES = 2**30  # of a list: ten million lines and more
SHOWN = 20  # wrong lines that the message spells out; the rest is counted

LIST_NAMES: dict[Split, str] = {"train": "train", "valid": "val", "test": "test"}
"""By split what its list is called, less `.list`."""

_INTEGER = re.compile(r"[+-]?[0-9]+")

EMBEDDED = Path("data/motions")
"""Where the configs of the checkout look for the embedded dataset."""


@dataclass(frozen=True)
class Sample:
    """One line of a list.

    `path` is a video file where `frames` is None, otherwise a folder that holds `frames` images,
    numbered from 1, or from 0 (see `infer.clips.frames_folder`). `line` is its line number in the
    list, from 1.
    """

    path: Path
    label: int
    frames: int | None
    line: int


class ListError(ClipDuetError):
    """A list cannot be used. `problems` holds one `file:line: what` for each wrong line."""

    def __init__(self, file: Path, problems: list[str], *, lines: int = 0, hint: str = "") -> None:
        self.file = file
        self.problems = problems
        if lines:
            head = f"{len(problems)} of {lines} lines of {file} cannot be used:"
            shown = [f"  {problem}" for problem in problems[:SHOWN]]
            if len(problems) > SHOWN:
                shown.append(f"  ... and {len(problems) - SHOWN} more")
            super().__init__("\n".join([head, *shown, *([hint] if hint else [])]))
        else:
            super().__init__("\n".join(problems))


def read_list(
    file: str | Path,
    *,
    root: str | Path | None = None,
    format: ListFormat = "VideoDataset",
    num_classes: int | None = None,
    suffix: str = "",
    labelled: bool = True,
    missing: list[str] | None = None,
) -> list[Sample]:
    """Read `file` and check every line of it.

    The same video may be listed more than once: that is how a list repeats a rare class.

    Args:
        file: the list.
        root: folder that relative paths start from; None is the current folder. Absolute paths
            stay.
        format: what a line holds: `path label`, or `path frames label` of a folder of frames.
        num_classes: labels must lie in 0 .. num_classes - 1; None allows any label from 0 up.
        suffix: VideoDataset: appended to each path ("" for none). FrameDataset: name pattern of
            the frames, "img_{:05}.jpg" if empty.
        labelled: False takes lines without a label and ignores one that is there; every sample
            then has the label UNLABELLED.
        missing: takes the paths that do not exist, whose lines are then left out; None: such a
            line is wrong.

    Raises:
        ListError: the list cannot be read, is empty, or has wrong lines: all of them are named; or
            nothing of it exists.
    """
    file = Path(file)
    if format not in FORMATS:
        raise ListError(
            file, [f"{file}: format {format!r} is unknown; allowed: {', '.join(FORMATS)}"]
        )
    base = Path() if root is None else Path(root)
    if not base.is_dir():
        what = f"{file}: the root folder {base} of the list does not exist"
        hint = "set DATASET.root, or data_prefix"
        if base == EMBEDDED:
            hint = "the embedded dataset is written by `make data`, or python -m train.data.motions"
        raise ListError(file, [f"{what}; {hint}"])

    problems: list[str] = []
    samples: list[Sample] = []
    lines = _content_lines(file)
    lost = False
    for number, text in lines:
        fields = _split(text, format) if labelled else _split_unlabelled(text, format)
        reasons = _field_problems(fields, format, num_classes)
        path = base / (fields.path + (suffix if format == "VideoDataset" else ""))
        if missing is not None and fields.path and not reasons and not os.path.exists(path):
            missing.append(str(path))
            continue
        if fields.path:
            reasons += _path_problems(path, format)
            lost = lost or not path.exists()
        if reasons:
            problems.append(f"{file}:{number}: {'; '.join(reasons)}")
            continue
        frames = int(fields.frames) if format == "FrameDataset" else None
        label = int(fields.label) if labelled else UNLABELLED
        samples.append(Sample(path, label, frames, number))

    if problems:
        hint = _from_one([sample.label for sample in samples], problems, num_classes)
        if lost:
            hint = "\n".join(filter(None, [hint, _from_where(base)]))
        raise ListError(file, problems, lines=len(lines), hint=hint)
    if missing and not samples:
        what = f"none of its {len(missing)} files exists, such as {missing[0]}"
        raise ListError(file, [f"{file}: {what}; {_from_where(base)}"])
    if not samples:
        raise ListError(file, [f"{file}: the list is empty; expected lines of {_usage(format)}"])
    if format == "FrameDataset":
        _check_first_frames(file, samples, suffix or FRAME_SUFFIX)
    return samples


def write_lines(file: Path, lines: Iterable[str]) -> None:
    """Write a list or a file of class names: a reader sees the old one or the whole new one."""
    write_text(file, "".join(f"{line}\n" for line in lines))


def cannot_be_listed(path: str) -> bool:
    """Whether a list cannot hold this path: line breaks, a # or a space at its ends."""
    return len(path.splitlines()) != 1 or path != path.strip() or path.startswith("#")


class _Fields(NamedTuple):
    path: str
    frames: str
    label: str


def _from_one(labels: list[int], problems: list[str], num_classes: int | None) -> str:
    """What to say of a list whose only mistake is that its labels begin at 1."""
    beyond = f"label {num_classes} is out of range"
    if not labels or min(labels) == 0 or not all(beyond in problem for problem in problems):
        return ""
    return f"all labels lie in 1 to {num_classes}: here the first class has label 0; subtract 1"


def _from_where(base: Path) -> str:
    """What to say where listed files do not exist: the folder that paths start from."""
    return (
        f"the list's paths start from {base.absolute()}; if they start from another folder, "
        "name it by --root, or in the config by DATASET.root and data_prefix"
    )


def _content_lines(file: Path) -> list[tuple[int, str]]:
    """Line number and stripped text of every line that is neither blank nor a comment."""
    try:
        text = read_text(file, most=MOST_BYTES).replace("\r\n", "\n").replace("\r", "\n")
    except OSError as error:
        problem = f"{file}: the list cannot be read: {os_reason(error)}"
        raise ListError(file, [problem]) from error
    except UnicodeDecodeError as error:
        raise ListError(file, [f"{file}: not a text file in UTF-8 (byte {error.start})"]) from error
    stripped = ((number, line.strip()) for number, line in enumerate(text.split("\n"), start=1))
    return [(number, line) for number, line in stripped if line and not line.startswith("#")]


def _usage(format: ListFormat) -> str:
    return "`path label`" if format == "VideoDataset" else "`path frames label`"


def _split(text: str, format: ListFormat) -> _Fields:
    """Fields of a line; those that are not there are empty."""
    wanted = 2 if format == "VideoDataset" else 3
    parts = text.rsplit(maxsplit=wanted - 1)
    if len(parts) < wanted:
        return _Fields("", "", "")
    return _Fields(parts[0], parts[1] if wanted == 3 else "", parts[-1])


def _split_unlabelled(text: str, format: ListFormat) -> _Fields:
    """The same of a line whose label may be missing: a path ends where a number follows."""
    numbers = 1 if format == "FrameDataset" else 0
    parts = text.rsplit(maxsplit=numbers + 1)
    if len(parts) == numbers + 2 and all(_INTEGER.fullmatch(part) for part in parts[1:]):
        parts.pop()
    else:
        parts = text.rsplit(maxsplit=numbers)
    return _split(" ".join([*parts, "0"]), format)


def _field_problems(fields: _Fields, format: ListFormat, num_classes: int | None) -> list[str]:
    if not fields.path:
        return [f"too few fields, expected {_usage(format)}"]
    reasons = []
    if not _INTEGER.fullmatch(fields.label):
        reasons.append(f"label {fields.label!r} is not a whole number")
    elif int(fields.label) < 0 or (num_classes is not None and int(fields.label) >= num_classes):
        allowed = "0 or more" if num_classes is None else f"0 to {num_classes - 1}"
        reasons.append(f"label {fields.label} is out of range, allowed: {allowed}")
    if format == "FrameDataset":
        if not _INTEGER.fullmatch(fields.frames):
            reasons.append(f"number of frames {fields.frames!r} is not a whole number")
        elif int(fields.frames) < 1:
            reasons.append(f"number of frames {fields.frames} is below 1")
    return reasons


def _path_problems(path: Path, format: ListFormat) -> list[str]:
    if format == "VideoDataset":
        if path.is_file():
            return []
        return [f"{path} is a folder, not a video" if path.is_dir() else f"no such file: {path}"]
    if path.is_dir():
        return []
    return [f"{path} is a file, not a folder of frames" if path.exists() else f"no folder: {path}"]


def _check_first_frames(file: Path, samples: list[Sample], suffix: str) -> None:
    """A pattern that fits no folder at all is a mistake of the config, not of single videos."""
    try:
        first = suffix.format(1)
        usable = first != suffix.format(2)
    except (IndexError, KeyError, ValueError):
        usable = False
    if not usable:
        raise ListError(
            file,
            [f"{file}: suffix {suffix!r} is no pattern of frame names such as {FRAME_SUFFIX!r}"],
        )
    names = first, suffix.format(0)
    if not any((sample.path / name).is_file() for sample in samples for name in names):
        raise ListError(
            file,
            [
                f"{file}: none of its {len(samples)} folders holds a first frame {first} or "
                f"{names[1]}; "
                f"set suffix to the pattern of the frame names (now {suffix!r})"
            ],
        )
