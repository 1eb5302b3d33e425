"""Files that list videos, as training reads them: `path label` or `path frames label` a line.

The label may be missing, and is not looked at. Blank lines and those that begin with # are skipped.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..system.addresses import is_address
from ..system.errors import ClipDuetError, os_reason
from ..system.limited_files import read_text

MOST_BYTES = 2**30
"""Of a list: ten million lines and more."""

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


def read_names(file: Path, *, root: Path | None = None) -> list[tuple[str, int | None]]:
    """Paths of a list, and how many frames it says that a folder has; None where it does not.

    A path ends where the numbers begin. With two numbers it is that of a folder of frames, unless
    what stands before the last one is there.

    Args:
        file: the list.
        root: folder that relative paths start from; None: the list's own.

    Raises:
        ClipDuetError: it cannot be read, or names nothing.
    """
    try:
        text = read_text(file, most=MOST_BYTES)
    except OSError as error:
        raise ClipDuetError(f"the list {file} cannot be read: {os_reason(error)}") from error
    except UnicodeDecodeError as error:
        raise ClipDuetError(
            f"the list {file} is not a text file in UTF-8 (byte {error.start})"
        ) from error
    base = file.parent if root is None else root
    lines = (line.strip() for line in text.replace("\r", "\n").split("\n"))
    found = [_name(line, base) for line in lines if line and not line.startswith("#")]
    if not found:
        raise ClipDuetError(f"the list {file} is empty; needed: lines of `path label`")
    return found


def split_line(line: str, base: Path) -> tuple[str, int | None]:
    """Path, as it stands there, and number of frames of a line without its label."""
    path, _, count = line.replace("\t", " ").rpartition(" ")
    if not path or not _NUMBER.fullmatch(count) or int(count) < 1 or os.path.lexists(base / line):
        return line, None
    folder = path.strip()
    return (folder, int(count)) if os.path.isdir(base / folder) else (line, None)


def _name(line: str, base: Path) -> tuple[str, int | None]:
    path, _, label = line.replace("\t", " ").rpartition(" ")
    if path and _NUMBER.fullmatch(label):
        line = path.strip()
    if is_address(line):
        return line, None
    path, frames = split_line(line, base)
    return str(base / path), frames
