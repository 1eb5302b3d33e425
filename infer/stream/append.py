"""Outputs of an earlier run that a later one goes on with: `--append`."""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..system.errors import ClipDuetError
from ..system.files import writing
from .records import CSV_FIELDS

HEADS = {"csv": ",".join(CSV_FIELDS).encode() + b"\n", "vtt": b"WEBVTT\n", "jsonl": b'{"type": "'}
"""What a file of each format begins with."""
_TAIL = 1 << 20
"""Bytes at the end in which the last record begins; one takes far fewer."""
_CUE = re.compile(rb"[^\n]+ --> [^\n]+\n[^\n]+\n")


def check_begun(path: Path, form: str) -> None:
    """Refuse a file that is no output of that format, which a cut would damage.

    Raises:
        ClipDuetError: it holds something else.
        OSError: it cannot be read.
    """
    head = HEADS[form]
    with path.open("rb") as file:
        begin = file.read(len(head))
    if not head.startswith(begin):
        raise ClipDuetError(
            f"--output {path} does not hold what `stream` writes as {form}; --append goes on with "
            "such files only: name another file"
        )


def cut_half_record(path: Path, form: str) -> bool:
    """Cut off what a kill has left of the last record; returns whether anything stays.

    Raises:
        ClipDuetError: no record ends where one should.
        WriteError: the file cannot be written.
    """
    with writing(path), path.open("r+b") as file:
        size = file.seek(0, os.SEEK_END)
        start = file.seek(max(size - _TAIL, 0))
        tail = file.read()
        whole = _whole(tail, form)
        if not whole and start:
            raise ClipDuetError(f"--output {path} ends with no {form}; name another file")
        if whole < len(tail):
            file.truncate(start + whole)
    return start + whole > 0


def _whole(tail: bytes, form: str) -> int:
    """How many bytes there are up to the end of the last whole record."""
    if form == "vtt":
        last = tail.rfind(b"\n\n") + 1  # a cue begins with an empty line
        if last and not _CUE.fullmatch(tail, last + 1):
            return last
    return tail.rfind(b"\n") + 1
