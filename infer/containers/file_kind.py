"""What a file that is no video looks like, from its first bytes: the reason tells what to do."""

from __future__ import annotations

import codecs
from pathlib import Path

from ..system.errors import os_reason

HEAD = 4096
"""Bytes from the beginning of a file that `kind_of` is given."""

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"Rar!\x1a\x07", "a RAR archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"%PDF-", "a PDF document"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x7fELF", "a program"),
)
TEXT = "a text file"
_MARKUP = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script")


def not_a_video(path: Path) -> str:
    """The reason why a file that no reader takes is no video, in one line without the path.

    Args:
        path: a file that could not be opened as a video.
    """
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError as error:
        return f"cannot be read: {os_reason(error)}"
    kind = kind_of(head)
    return f"not a video, but {kind}" if kind else "not a video, or damaged beyond reading"


def kind_of(head: bytes) -> str:
    """What a file begins like, from its first bytes; "" if they say nothing."""
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if head and not head.strip(b"\0"):
        return "zeros: its content was never written, copy it again"
    text = head.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    if text.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer: run `git lfs pull` where it was cloned"
    if text.startswith(_MARKUP) or (text.startswith((b"<?xml", b"<!--")) and b"<html" in text):
        return "an HTML page, as a download that failed leaves it: fetch the file again"
    if text.startswith(b"<?xml"):
        return "an XML document, as a download that failed leaves it: fetch the file again"
    return TEXT if _is_text(head) else ""


def _is_text(head: bytes) -> bool:
    """Whether the bytes are UTF-8 without control characters; the last one may be cut off."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return False
    return bool(text) and all(c.isprintable() or c in "\t\r\n\f\ufeff" for c in text)
