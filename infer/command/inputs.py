"""What a user named on the command line, turned into a list of videos."""

from __future__ import annotations

import glob
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..clips.picture_names import numberings
from ..system.addresses import NOT_READ, is_address
from ..system.errors import ClipDuetError, os_reason
from .folder_scan import FolderScan
from .name_lists import read_names

VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)


@dataclass(frozen=True)
class Row:
    """One answer that is owed.

    Attributes:
        name: what it is about, as it was named or found.
        video: its place in `Inputs.videos`, or None.
        problem: why there is no video, or "".
    """

    name: str
    video: int | None
    problem: str = ""


@dataclass(frozen=True)
class Inputs:
    """What is to be done.

    Attributes:
        rows: one for every name, in the order in which they were given.
        videos: files and folders of frames to read, each once, in the order of the rows.
        notes: what was left out by rule, a sentence each.
        frames: how many frames a list says that a folder has, by its path in `videos`.
    """

    rows: tuple[Row, ...]
    videos: tuple[Path, ...]
    notes: tuple[str, ...]
    frames: Mapping[Path, int] = field(default_factory=dict)

    @property
    def missing(self) -> tuple[tuple[str, str], ...]:
        """(what was named, why it gives nothing)."""
        return tuple((row.name, row.problem) for row in self.rows if row.video is None)


@dataclass
class _Found:
    """What is behind one name of the command line."""

    videos: list[Path] = field(default_factory=list)
    problems: list[tuple[str, str]] = field(default_factory=list)
    met_again: list[str] = field(default_factory=list)
    frames: dict[Path, int] = field(default_factory=dict)
    other: Counter[str] = field(default_factory=Counter)
    """Suffixes of files in folders that are not those of videos."""


def find_videos(
    named: Sequence[str], *, lists: Sequence[str] = (), root: Path | None = None
) -> Inputs:
    """The videos that a command line names.

    Files are taken whatever their suffix; folders are searched to the bottom for the suffixes of
    videos and for folders of numbered pictures, each of which is one video; patterns with * ? [ ]
    and ** are expanded; folders and patterns in sorted order. `@FILE` stands for what a list names,
    `-` for the names on standard input, one a line.

    A row for each name that was given or found; for one that comes again, one. Several names of
    one file (links) are several rows and one video.

    Args:
        named: what was named.
        lists: files of names, as training reads them; what they name comes last.
        root: folder that relative paths in lists start from; None: the list's own.
    """
    rows: dict[str, Row] = {}
    places: dict[str, int] = {}
    videos: list[Path] = []
    claimed: list[int | None] = []
    other, met_again, repeated = Counter[str](), list[str](), 0
    for found in _all_found(named, lists, root):
        other += found.other
        met_again += found.met_again
        for path in found.videos:
            repeated += str(path) in rows
            real, frames = os.path.realpath(path), found.frames.get(path)
            if real not in places:
                places[real] = len(videos)
                videos.append(path)
                claimed.append(frames)
            elif claimed[places[real]] != frames:
                both = " and ".join(_frames(n) for n in (claimed[places[real]], frames))
                why = f"the same folder is named {both}: name it once"
                rows[f"{path} ({_frames(frames)})"] = Row(str(path), None, why)
                continue
            rows.setdefault(str(path), Row(str(path), places[real]))
        for where, why in found.problems:
            rows.setdefault(where, Row(where, None, why))
    frames_of = {path: n for path, n in zip(videos, claimed, strict=True) if n is not None}
    notes = _notes(repeated, met_again, other)
    return Inputs(tuple(rows.values()), tuple(videos), notes, frames_of)


def _frames(claimed: int | None) -> str:
    return "without a number of frames" if claimed is None else f"with {claimed} frames"


def _notes(repeated: int, met_again: Sequence[str], other: Counter[str]) -> tuple[str, ...]:
    notes = []
    if repeated:
        many = "1 video was" if repeated == 1 else f"{repeated} videos were"
        notes.append(f"{many} named more than once and answered once")
    if met_again:
        many = "1 link leads" if len(met_again) == 1 else f"{len(met_again)} links lead"
        first = ", ".join(met_again[:3]) + (", ..." if len(met_again) > 3 else "")
        notes.append(f"{many} to folders that are searched under another name: {first}")
    if other:
        many = "1 file was" if other.total() == 1 else f"{other.total()} files were"
        kinds = [suffix or "none" for suffix, _ in other.most_common(4)]
        suffixes = ", ".join(kinds[:3]) + (", ..." if len(kinds) > 3 else "")
        notes.append(
            f"{many} left out in folders, having no suffix of a video ({suffixes}); a file that "
            "is named itself is read whatever its suffix"
        )
    return tuple(notes)


def _all_found(named: Iterable[str], lists: Iterable[str], root: Path | None) -> Iterable[_Found]:
    for name in named:
        if name == "-":
            given = b"" if sys.stdin is None else sys.stdin.buffer.read()
            names = [os.fsdecode(line) for line in given.splitlines() if line]
            yield from map(_expand, names)
            if not names:
                yield _Found(problems=[(name, "no names on standard input")])
        elif name.startswith("@") and not os.path.lexists(name):
            yield _listed(name, name[1:], root)
        else:
            yield _expand(name)
    for file in lists:
        yield _listed(file, file, root)


def _listed(name: str, file: str, root: Path | None) -> _Found:
    """What a list names; every line of it is a file or a folder of frames."""
    try:
        listed = read_names(Path(os.path.expanduser(file)), root=root)
    except ClipDuetError as error:
        return _Found(problems=[(name, str(error))])
    found = _Found()
    for path, frames in listed:
        if is_address(path) and not os.path.lexists(path):
            found.problems.append((path, NOT_READ))
            continue
        found.videos.append(Path(path))
        if frames is not None:
            found.frames[Path(path)] = frames
    return found


def _expand(name: str) -> _Found:
    """What is behind one name; no video without a problem."""
    if not name:
        return _Found(problems=[(name, "an empty name")])
    # os.path leaves ~nobody as it is, and raises nothing for a name that the system refuses.
    path = Path(os.path.expanduser(name))
    found = _Found()
    if os.path.isdir(path):
        _search(path, found)
        if not found.videos and not found.problems:
            found.problems.append((name, "no videos in this folder, and no numbered pictures"))
        return found
    if is_address(name) and not os.path.lexists(path):
        return _Found(problems=[(name, NOT_READ)])
    if os.path.lexists(path) or not glob.has_magic(name):
        found.videos.append(path)  # a file that is missing is said when it is its turn
        return found
    search = FolderScan()
    for match in search.matches(str(path)):
        if not os.path.isdir(match):
            found.videos.append(Path(match))
        elif "**" not in name:  # with **, what is inside matches by itself
            _search(Path(match), found)
    found.problems += search.problems
    found.met_again += search.met_again
    if not found.videos and not found.problems:
        found.problems.append((name, "no file matches this pattern"))
    return found


def _search(folder: Path, found: _Found) -> None:
    search = FolderScan()
    for here, entries in search.tree(str(folder)):
        if _are_frames([entry.name for entry in entries]):
            found.videos.append(Path(here))
            continue
        for entry in entries:
            suffix = os.path.splitext(entry.name)[1].lower()
            if suffix in VIDEO_SUFFIXES:
                found.videos.append(Path(entry.path))
            elif not suffix and entry.is_symlink() and (why := _dead(entry.path)):
                # It may have led to a folder, for example on a disk that is not there now.
                found.problems.append((entry.path, f"a link that leads nowhere: {why}"))
            else:
                found.other[suffix] += 1
    found.problems += search.problems
    found.met_again += search.met_again


def _are_frames(names: Sequence[str]) -> bool:
    """Whether the files of a folder are the frames of one video."""
    videos = any(os.path.splitext(name)[1].lower() in VIDEO_SUFFIXES for name in names)
    return not videos and len(numberings(names)) == 1


def _dead(link: str) -> str:
    """Why a link leads nowhere; "" if it leads somewhere."""
    try:
        os.stat(link)
    except OSError as error:
        return os_reason(error)
    return ""
