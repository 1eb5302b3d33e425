"""Files written whole or not at all: a reader sees the old one or the whole new one."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infer.errors import ClipDuetError


class WriteError(ClipDuetError):
    """A file cannot be written; what was there before is still there."""

    def __init__(self, path: Path, error: OSError) -> None:
        reason = error.strerror or str(error)
        super().__init__(f"{path} cannot be written: {reason}")


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield an empty file beside ``path`` that takes its place when the body succeeds.

    Whatever stops the body, Ctrl-C included, ``path`` stays as it was. Missing folders are made;
    of a link, the file that it points to is replaced.

    Raises:
        WriteError: the file system says no, or the body met an ``OSError``.
    """
    path = Path(os.path.realpath(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        os.close(handle)
    except OSError as error:
        raise WriteError(path, error) from error
    try:
        yield Path(name)
        os.chmod(name, _mode(path))
        os.replace(name, path)
    except OSError as error:
        raise WriteError(path, error) from error
    finally:
        Path(name).unlink(missing_ok=True)


def _mode(path: Path) -> int:
    """Permissions of the file that is replaced, or those of a new one."""
    try:
        return path.stat().st_mode & 0o777
    except FileNotFoundError:
        mask = os.umask(0)
        os.umask(mask)
        return 0o666 & ~mask


def write_text(path: str | Path, text: str) -> None:
    """Write a text file in UTF-8.

    Raises:
        WriteError: it cannot be written.
    """
    with replacing(path) as file:
        file.write_text(text, encoding="utf-8")
