"""Read files that may come from anywhere: regular ones, of a limited size."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path


def read_bytes(path: Path, *, most: int) -> bytes:
    """The content of a small file.

    Nothing is waited for: a FIFO without a writer and a device without an end are refused.

    Args:
        path: the file.
        most: bytes it may have.

    Raises:
        OSError: it cannot be read, is no regular file (EINVAL, EISDIR), or larger (EFBIG).
        ValueError: the path holds NUL.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(handle, "rb") as file:
        state = os.fstat(handle)
        if stat.S_ISDIR(state.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not stat.S_ISREG(state.st_mode):
            raise OSError(errno.EINVAL, "it is a device, pipe or socket, not a file")
        # Not `most` at once: Python makes room for all that it is asked to read.
        data, part = b"", max(state.st_size + 1, 1 << 16)
        while more := file.read(min(most + 1 - len(data), part)):
            data += more
    if len(data) > most:
        size = max(state.st_size, len(data))
        raise OSError(errno.EFBIG, f"it has {size:,} bytes, allowed: at most {most:,}")
    return data


def read_text(path: Path, *, most: int) -> str:
    """The text of a small file in UTF-8, without a byte order mark.

    Raises:
        OSError, ValueError: as `read_bytes`.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read_bytes(path, most=most).decode("utf-8-sig")
