"""What a user named on the command line, turned into a list of videos."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

VIDEO_SUFFIXES = (
    *(".3gp", ".asf", ".avi", ".flv", ".gif", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4"),
    *(".mpeg", ".mpg", ".mts", ".ogv", ".ts", ".vob", ".webm", ".wmv", ".y4m"),
)


@dataclass(frozen=True)
class Inputs:
    """videos: what to read, in order, each once; missing: (what was named, why it gives nothing);
    repeated: how many times a file was named again."""

    videos: tuple[Path, ...]
    missing: tuple[tuple[str, str], ...]
    repeated: int


def find_videos(named: Sequence[str]) -> Inputs:
    """Files as they are (whatever their suffix), folders searched through to the bottom for the
    suffixes of videos, patterns with * ? [ ] and ** expanded; folders and patterns in sorted order.
    """
    videos: dict[str, Path] = {}
    missing: list[tuple[str, str]] = []
    repeated = 0
    for name in named:
        found, why = _expand(name)
        if why:
            missing.append((name, why))
        for path in found:
            key = os.path.realpath(path)
            repeated += key in videos
            videos.setdefault(key, path)
    return Inputs(tuple(videos.values()), tuple(missing), repeated)


def _expand(name: str) -> tuple[list[Path], str]:
    """Videos behind one name, and why there are none."""
    if not name:
        return [], "an empty name"
    # os.path leaves ~nobody as it is, and raises nothing for a name that the system refuses.
    path = Path(os.path.expanduser(name))
    if os.path.isdir(path):
        inside = _in_folder(path)
        return inside, "" if inside else "no videos in this folder"
    if os.path.exists(path) or not glob.has_magic(name):
        return [path], ""  # a file that is missing is said when it is its turn
    found: list[Path] = []
    for match in sorted(Path(m) for m in glob.glob(str(path), recursive=True)):
        if not os.path.isdir(match):
            found.append(match)
        elif "**" not in name:  # with **, what is inside matches by itself
            found += _in_folder(match)
    return found, "" if found else "no file matches this pattern"


def _in_folder(folder: Path) -> list[Path]:
    found = []
    for root, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in sorted(files):
            if Path(file).suffix.lower() in VIDEO_SUFFIXES and not file.startswith("."):
                found.append(Path(root) / file)
    return found
