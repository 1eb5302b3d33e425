"""The folder of uploads: nobody removes it while it is in use, and it does not outlive its use."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "clipduet-serve-"
_NEW = 60
"""Seconds in which another service may have made its folder and not locked it yet."""


@contextlib.contextmanager
def upload_folder() -> Iterator[Path]:
    """A folder for temporary files, for as long as the body runs.

    It is locked: what tidies up temporary folders, such as systemd-tmpfiles, leaves it alone. Those
    of services that were killed, which nobody has locked, are removed.
    """
    with tempfile.TemporaryDirectory(prefix=_PREFIX) as name:
        folder = Path(name)
        with _opened(folder) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            for other in folder.parent.glob(f"{_PREFIX}*"):
                with contextlib.suppress(OSError):  # it is in use, or gone
                    _remove_abandoned(other)
            yield folder


def _remove_abandoned(folder: Path) -> None:
    """Raises OSError where it is in use."""
    about = folder.lstat()
    is_ours = stat.S_ISDIR(about.st_mode) and about.st_uid == os.getuid()
    if is_ours and time.time() - about.st_mtime > _NEW:
        with _opened(folder) as descriptor:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
