"""A folder that appears whole or not at all, and replaces an older one only when it is whole."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from infer.bundle import BUNDLE_JSON
from infer.errors import ClipDuetError


class OutputError(ClipDuetError):
    """The output folder cannot be written, or holds something that must not be replaced."""


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target`` that takes its place when the body succeeds.

    Whatever stops the body, Ctrl-C included, the folder goes and ``target`` stays as it was.

    Raises:
        OutputError: ``target`` is a file, or a folder with something else than a bundle in it,
            or its parent cannot be written.
    """
    # Of a link, the folder that it points to is replaced.
    target = Path(os.path.realpath(target))
    _check(target)
    partial = target.with_name(f".{target.name}.{os.getpid()}.partial")
    previous = target.with_name(f".{target.name}.{os.getpid()}.previous")
    try:
        partial.mkdir(parents=True)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"{target.parent} cannot be written: {reason}; choose another") from error
    try:
        yield partial
        # A folder cannot replace one that is not empty: move the old one aside first.
        if target.exists():
            os.replace(target, previous)
        os.replace(partial, target)
    except OSError as error:
        if error.filename is None:
            raise
        raise OutputError(f"{error.filename}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if previous.exists() and not target.exists():
            os.replace(previous, target)
        shutil.rmtree(previous, ignore_errors=True)


def _check(target: Path) -> None:
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} is a file; a bundle is a folder: choose another name")
    if target.is_dir() and any(target.iterdir()) and not (target / BUNDLE_JSON).is_file():
        raise OutputError(
            f"{target} holds something else than a bundle (no {BUNDLE_JSON}); it would be "
            "replaced whole: choose another folder, or empty it"
        )
