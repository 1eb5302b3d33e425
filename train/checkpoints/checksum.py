"""The checksum that a checkpoint carries at its own end.

One line of text after the pickle, which every reader of pickles, Paddle's among them, leaves
unread. So a file and its checksum cannot be parted, by a copy or by a kill between two writes:

    head -c -82 best.pdparams | sha256sum; tail -n 1 best.pdparams
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import BinaryIO

_PATTERN = re.compile(rb"\nclipduet sha256 ([0-9a-f]{64})\n")
LENGTH = len("\nclipduet sha256 \n") + 64


class ChecksumError(Exception):
    """A file that is not what was written; the message has what was expected."""


def seal(path: Path) -> None:
    """Append the checksum of what a file holds."""
    with path.open("rb") as file:
        digest = _sha256(file, path.stat().st_size)
    with path.open("ab") as file:
        file.write(f"\nclipduet sha256 {digest}\n".encode())


def checked_size(file: BinaryIO) -> int:
    """Compare a file with its checksum, where it has one, and go back to its beginning.

    Returns:
        The number of bytes before the checksum: all of them where there is none.

    Raises:
        ChecksumError: they are not those that were written.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(max(0, size - LENGTH))
    found = _PATTERN.fullmatch(file.read(LENGTH))
    file.seek(0)
    if found is None:
        return size
    expected, digest = found[1].decode(), _sha256(file, size - LENGTH)
    file.seek(0)
    if digest != expected:
        raise ChecksumError(f"SHA-256 {expected} was written, {digest} is read")
    return size - LENGTH


def _sha256(file: BinaryIO, size: int) -> str:
    digest = hashlib.sha256()
    while size and (chunk := file.read(min(size, 1 << 20))):
        digest.update(chunk)
        size -= len(chunk)
    return digest.hexdigest()
