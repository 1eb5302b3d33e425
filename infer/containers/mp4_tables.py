"""How many samples the tables of an MP4 or MOV file claim, before FFmpeg makes room for them.

Where all samples have one size, 20 bytes of table stand for as many as a 32-bit number can count,
and FFmpeg takes 70 bytes of memory for each.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

from ..system.errors import VideoError
from .file_structures import FileReader

FEW = 1_000_000
"""Samples that no table is doubted for."""
_INSIDE = frozenset(
    (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"moof", b"traf", b"udta", b"edts", b"ilst")
) | {b"mvex", b"tref", b"dinf", b"wave", b"cmov"}
_OWN = 0xF00
"""Flags of a run of samples that have their own length, size, flags or time in the file."""
_DEEPEST = 10  # as FFmpeg follows boxes in boxes
_INFLATED = 1 << 26  # bytes of a compressed table

_At = Callable[[int, int], bytes]


def check_tables(path: Path) -> None:
    """Raises VideoError where a file claims more samples than it has bytes."""
    try:
        with path.open("rb", buffering=0) as file:
            reader = FileReader(file.fileno(), os.fstat(file.fileno()).st_size)
            if reader.at(4, 4) not in (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide"):
                return
            claimed = sum(_claims(reader.at, 0, reader.size, 0))
            most = max(reader.size, FEW)
    except (OSError, ValueError, struct.error, zlib.error):
        return  # FFmpeg says what is wrong
    if claimed > most:
        why = f"its tables claim {claimed:,} frames and sounds in {reader.size:,} bytes"
        raise VideoError(path, f"{why}, allowed: at most {most:,}")


def _claims(at: _At, begin: int, end: int, depth: int) -> Iterator[int]:
    while begin + 8 <= end:
        size, kind = struct.unpack(">I4s", at(begin, 8))
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", at(begin + 8, 8))[0], 16
        elif size == 0:
            size = end - begin
        if size < head:
            return
        body, stop = begin + head, min(begin + size, end)
        if kind in _INSIDE and depth < _DEEPEST:
            yield from _claims(at, body, stop, depth + 1)
        elif kind == b"stsz" and stop >= body + 12:
            of_all, count = struct.unpack(">II", at(body + 4, 8))
            yield count if of_all else 0  # else each has its entry in the file
        elif kind == b"trun" and stop >= body + 8:
            flags, count = struct.unpack(">II", at(body, 8))
            yield 0 if flags & _OWN else count
        elif kind == b"cmvd":
            table = zlib.decompressobj().decompress(at(body + 4, stop - body - 4), _INFLATED)
            yield from _claims(_reader(table), 0, len(table), depth + 1)
        begin += size


def _reader(data: bytes) -> _At:
    return lambda at, count: data[at : at + count]
