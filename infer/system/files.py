"""Files written whole or not at all: a reader sees the old one or the whole new one."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import itertools
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .errors import ClipDuetError, os_reason

WRITERS = 32
"""Numbers of temporary files that are looked at: more processes hardly write one file at once."""


class WriteError(ClipDuetError):
    """A file cannot be written; what was there before is still there."""

    def __init__(self, path: Path, error: OSError, advice: str = "") -> None:
        then = f"; {advice}" if advice else ""
        super().__init__(f"{path} cannot be written: {os_reason(error)}{then}")


@contextmanager
def writing(path: Path, advice: str = "") -> Iterator[None]:
    """Raise WriteError, which names the file, for every `OSError` of the body.

    Args:
        path: what is named where the error does not say which file it is.
        advice: how to go on, which ends the message.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(Path(error.filename or path), error, advice) from error


def real_path(path: str | Path) -> Path:
    """The file that a path leads to, through all links, whether it is there or not.

    `Path.resolve` raises other errors for a circle of links in Python 3.10 to 3.12 than later.

    Raises:
        WriteError: the links lead in a circle, or the system refuses the path.
    """
    real = Path(os.path.realpath(path))
    try:
        real.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:
        raise WriteError(Path(path), error) from None
    return real


def check_writable(path: str | Path) -> None:
    """Find out before the work whether a file can be written after it; missing folders are made.

    Raises:
        WriteError: it cannot, as far as that can be known.
    """
    path = real_path(path)
    with writing(path):
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass


def folder_obstacle(folder: str | Path) -> str | None:
    """Why a folder cannot be made or written; None: it can, as far as that can be known before.

    Nothing is made.
    """
    target = Path(os.path.realpath(folder))
    there = next(path for path in (target, *target.parents) if os.path.lexists(path))
    if not there.is_dir():
        what = "a file" if there.is_file() else "no folder"
        return f"{there} is {what}, and a folder is needed"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"{there} cannot be written; choose another folder"
    return None


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield an empty file beside `path` that takes its place when the body succeeds.

    Whatever stops the body, Ctrl-C included, `path` stays as it was. Missing folders are made;
    of a link, the file that it points to is replaced. What a killed process has left is removed by
    the next call for the same `path`.

    Raises:
        WriteError: the file system says no, or the body met an `OSError`.
    """
    path = real_path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial, lock = _make_partial(path)
    except OSError as error:
        raise WriteError(path, error) from error
    try:
        yield partial
        os.chmod(partial, _mode(path))
        os.replace(partial, path)
    except BaseException as error:
        # Not after the renaming: the name may be another writer's by then.
        partial.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise WriteError(path, error) from error
        raise
    finally:
        os.close(lock)


def lock_file(path: Path, *, create: bool = False) -> int | None:
    """Open a file that no living process has locked, and lock it; its descriptor, or None.

    Of a process that ends, however it does, the kernel drops the locks. Its number would say less:
    in a container it is the same every time, and other containers' processes are not seen.

    Beyond a lock as the package filelock takes it, the path still names the file that was locked,
    and that is a regular file of the user's own.

    Args:
        path: None is returned for what is no regular file of the user's own.
        create: whether one that is not there is made, closed to other users.

    Raises:
        OSError: it is not there and cannot be made; ENOTSUP: the file system has no locks.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | (os.O_CREAT if create else 0)
    while True:
        try:
            lock = os.open(path, flags, 0o600)
        except OSError:
            if create and not os.path.lexists(path):
                raise
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            state = os.fstat(lock)
            mine = stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid()
            # It may have been renamed or removed by the process that held the lock until now.
            same = os.path.lexists(path) and os.path.samestat(state, os.lstat(path))
        except BlockingIOError:
            os.close(lock)
            return None
        except FileNotFoundError:
            same = False
        except OSError as error:
            os.close(lock)
            raise OSError(errno.ENOTSUP, "no locks on this file system") from error
        if same and mine and state.st_nlink == 1:
            return lock
        os.close(lock)
        if same:
            return None


def _make_partial(path: Path) -> tuple[Path, int]:
    """An empty temporary file beside `path`, and the lock that says that it is in use.

    Names are numbered and the first free one is taken, so that those of dead processes are found
    without a search through the folder, which may hold many files.
    """
    names = (path.with_name(f".{path.name}.{number}.partial") for number in itertools.count())
    try:
        partial, lock = next(
            (name, lock) for name in names if (lock := lock_file(name, create=True)) is not None
        )
        # A writer that lives may hold a number between those of two that died.
        for left in itertools.islice(names, WRITERS):
            if os.path.lexists(left) and (other := lock_file(left)) is not None:
                left.unlink(missing_ok=True)
                os.close(other)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        _remove_empty(path.with_name(f".{path.name}.0.partial"))  # made to be locked
        lock, unique = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        return Path(unique), lock
    os.ftruncate(lock, 0)
    os.fchmod(lock, 0o600)
    return partial, lock


def _remove_empty(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        state = path.lstat()
        if stat.S_ISREG(state.st_mode) and state.st_uid == os.geteuid() and not state.st_size:
            path.unlink()


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


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
