"""A folder that appears whole or not at all, and replaces an older one only when it is whole."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

from infer.bundle.bundle import BUNDLE_JSON
from infer.bundle.moved_aside import leftovers, newest
from infer.system.errors import ClipDuetError, os_reason
from infer.system.files import folder_obstacle

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What a file that was opened fails with; such an error names no file."""


class OutputError(ClipDuetError):
    """The output folder cannot be written, or holds something that must not be replaced."""


def check_target(target: str | Path) -> None:
    """Find out before the work whether `staged` can write there, as far as can be known.

    Nothing is made.

    Raises:
        OutputError: as `staged`.
    """
    target = Path(os.path.realpath(target))
    try:
        check_bundle(target)
    except OSError as error:
        raise OutputError(f"{target} cannot be read: {os_reason(error)}") from error
    obstacle = folder_obstacle(target.parent)
    if obstacle:
        raise OutputError(f"{target} cannot be made: {obstacle}")


def check_bundle(target: Path) -> None:
    """Refuse to replace anything but a bundle or an empty folder.

    Raises:
        OutputError: `target` is a file, or a folder with something else than a bundle in it.
        OSError: it cannot be read.
    """
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} is a file; a bundle is a folder: choose another name")
    if target.is_dir() and any(target.iterdir()) and not (target / BUNDLE_JSON).is_file():
        raise OutputError(
            f"{target} holds something else than a bundle (no {BUNDLE_JSON}); it would be "
            "replaced whole: choose another folder, or empty it"
        )


@contextmanager
def staged(target: Path, *, check: Callable[[Path], None] = check_bundle) -> Iterator[Path]:
    """Yield an empty folder beside `target` that takes its place when the body succeeds.

    Whatever stops the body, Ctrl-C included, the folder goes and `target` stays as it was. What
    a process left that was killed is put in order by the next call for the same target. Where the
    system can exchange two names, `target` is whole at every moment.

    Args:
        target: the folder to make or to replace.
        check: raises OutputError where `target` must not be replaced.

    Raises:
        OutputError: `check` says so, or the parent of `target` cannot be written, or the disk is
            full.
    """
    # Of a link, the folder that it points to is replaced.
    target = Path(os.path.realpath(target))
    check(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial, in_use = _make_partial(target, check)
    except OSError as error:
        reason = os_reason(error)
        raise OutputError(f"{target.parent} cannot be written: {reason}; choose another") from error
    previous = partial.with_suffix(".previous")
    try:
        yield partial
        # A folder cannot replace one that is not empty.
        if not (target.exists() and exchange(partial, target)):
            if target.exists():
                os.replace(target, previous)
            os.replace(partial, target)
    except OSError as error:
        if error.filename is None and error.errno not in FULL:
            raise
        raise OutputError(f"{error.filename or target}: {os_reason(error)}") from error
    finally:
        if previous.exists() and not target.exists():
            os.replace(previous, target)
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(previous, ignore_errors=True)
        os.close(in_use)


AT_FDCWD, RENAME_EXCHANGE = -100, 2


def exchange(one: Path, other: Path) -> bool:
    """Swap the names of two folders in one step, of which nobody ever sees a half.

    Returns:
        False where the system or the file system cannot; nothing has changed then. Linux can since
        3.15, on ext4, XFS, Btrfs, tmpfs and overlayfs, and not on NFS.
    """
    rename = getattr(ctypes.CDLL(None), "renameat2", None)
    if rename is None:
        return False
    names = (os.fsencode(path) for path in (one, other))
    first, second = (ctypes.c_char_p(name) for name in names)
    done: int = rename(AT_FDCWD, first, AT_FDCWD, second, ctypes.c_uint(RENAME_EXCHANGE))
    return done == 0


def _make_partial(target: Path, check: Callable[[Path], None]) -> tuple[Path, int]:
    """A new folder beside `target`, and the lock that says that it is in use.

    Of a process that ends, however it does, the kernel drops the locks. Its number would say
    less: in a container it is the same every time, and other containers' processes are not seen.
    """
    parent = _locked(target.parent)  # nobody may take the new folder for one that was left
    try:
        _remove_leftovers(target)
        check(target)  # what was put back is not replaced unasked either
        # mkdtemp would close the folder, which becomes the bundle, to everybody else.
        partial = target.with_name(f".{target.name}.{uuid4().hex[:8]}.partial")
        partial.mkdir()
        return partial, _locked(partial)
    finally:
        os.close(parent)


def _locked(folder: Path) -> int:
    """Lock a folder itself: filelock wants a file, which would stay in the folder or beside it."""
    file = os.open(folder, os.O_RDONLY)
    with suppress(OSError):  # a file system without locks: see `_is_left`
        fcntl.flock(file, fcntl.LOCK_EX)
    return file


def _remove_leftovers(target: Path) -> None:
    """Put back the folder of a process that was killed between two renames; remove the rest."""
    left = [path for path in leftovers(target) if _is_left(path.with_suffix(".partial"))]
    previous = [path for path in left if path.suffix == ".previous"]
    if previous and not target.exists():
        os.replace(newest(previous), target)
    for path in left:
        shutil.rmtree(path, ignore_errors=True)


def _is_left(partial: Path) -> bool:
    """Whether no living process writes there; False where that cannot be found out."""
    try:
        file = os.open(partial, os.O_RDONLY)
    except OSError:
        return not partial.exists()
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(file)
    return True
