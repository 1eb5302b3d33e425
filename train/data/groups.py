"""What clips have in common that a split must not separate: cameras, persons, source videos.

A file `groups.txt` beside the lists says so, `path group` a line, the paths as in the lists. In a
tree `scene/class/clip` the scenes are the groups (`train.data.folders`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from infer.system.errors import ClipDuetError, listed, os_reason
from infer.system.limited_files import read_text
from train.data.lists import MOST_BYTES

GROUPS = "groups.txt"
SCENES, NONE, AUTO = "scenes", "none", "auto"


class GroupsError(ClipDuetError):
    """Groups cannot be read, or do not name every clip."""


def find_groups(paths: Sequence[str], root: Path, how: str = AUTO) -> tuple[list[str], str]:
    """The group of each clip, and where it comes from: a file's name, `scenes` or `none`.

    Args:
        paths: of the clips, as the lists name them.
        root: folder that they start from.
        how: a file, `scenes`, `none` (every clip for itself), or `auto`: `groups.txt` of the root
            if there is one, else scenes where all clips lie as scene/class/clip, else none.

    Raises:
        GroupsError: the file cannot be read or misses clips, or the clips lie in no scenes.
    """
    deep = all(len(PurePosixPath(path).parts) == 3 for path in paths)
    file = root / GROUPS
    if how == AUTO:
        how = str(file) if file.is_file() else SCENES if deep else NONE
    if how == NONE:
        return list(paths), NONE
    if how == SCENES:
        if not deep or any(PurePosixPath(path).is_absolute() for path in paths):
            raise GroupsError("groups by scenes: not all clips lie as scene/class/clip in the root")
        return [PurePosixPath(path).parts[0] for path in paths], SCENES
    known = read_groups(Path(how))
    missing = [path for path in paths if path not in known]
    if missing:
        raise GroupsError(listed(f"{how} names no group of these clips", missing))
    return [known[path] for path in paths], str(how)


def read_groups(file: Path) -> dict[str, str]:
    """The group of each path of a file with lines `path group`.

    Raises:
        GroupsError: it cannot be read, or a line is wrong or names a path twice.
    """
    try:
        text = read_text(file, most=MOST_BYTES)
    except OSError as error:
        raise GroupsError(f"{file} cannot be read: {os_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise GroupsError(f"{file}: not a text file in UTF-8 (byte {error.start})") from error
    found: dict[str, str] = {}
    problems = []
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.strip().rsplit(maxsplit=1)
        if not fields or line.lstrip().startswith("#"):
            continue
        if len(fields) < 2:
            problems.append(f"line {number}: expected `path group`, found {line.strip()!r}")
        elif found.setdefault(fields[0], fields[1]) != fields[1]:
            problems.append(f"line {number}: {fields[0]} is in two groups")
    if problems:
        raise GroupsError(listed(f"{file} cannot be used", problems))
    return found
