"""Is the end of a video file missing? By the structure of its container.

Most containers say how long they are, or end with a mark. A recording that was made without knowing
its length (a live stream) says nothing, and is whole wherever it ends.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_BLOCK = 4096
"""Bytes that are read at once: most parts of a header lie next to each other."""
_MOST_READS = 500_000
"""A file of nothing but tiny parts is not followed to its end."""


@dataclass
class FileReader:
    """Bytes of a file at any place, and how many there are."""

    descriptor: int
    size: int
    reads: int = 0
    _place: int = 0
    _block: bytes = b""

    def at(self, position: int, count: int) -> bytes:
        """`count` bytes at a place, fewer at the end of the file.

        Raises:
            ValueError: the file has more parts than a video has.
        """
        self.reads += 1
        if self.reads > _MOST_READS:
            raise ValueError("too many parts")
        if position >= self.size:
            return b""
        begin = position - self._place
        if not 0 <= begin <= len(self._block) - count:
            self._block = os.pread(self.descriptor, max(count, _BLOCK), position)
            self._place, begin = position, 0
        return self._block[begin : begin + count]


def _short_of(file: FileReader, end: int) -> str | None:
    if end <= file.size:
        return None
    return f"{file.size:,} of at least {end:,} bytes are there"


def _mp4_boxes(file: FileReader) -> Iterator[tuple[bytes, int]]:
    """(type, end) of the boxes from the first to the one that lies at the end of the file."""
    at = 0
    while at < file.size:
        head = file.at(at, 16)
        if len(head) < 8:
            if head.strip(b"\0"):
                yield b"", at + 8
            return
        size, kind = struct.unpack(">I4s", head[:8])
        if size == 1 and len(head) == 16:
            size = struct.unpack(">Q", head[8:])[0]
        if size == 0 and kind.isalnum():  # reaches to the end of the file
            size = file.size - at
        if size < 8 or not kind.strip().isalnum():
            return  # no box: padding or something that was appended
        yield kind, at + size
        at += size


def _mp4(file: FileReader) -> str | None:
    boxes = list(_mp4_boxes(file))
    kinds = [kind for kind, _ in boxes]
    short = _short_of(file, max(end for _, end in boxes))
    if b"moov" not in kinds:
        wrong = "its index (moov) is missing"
        return f"{wrong}; {short}" if short else wrong
    if short:
        return f"its index (moov) is incomplete; {short}" if kinds[-1] == b"moov" else short
    if b"mdat" not in kinds or kinds[-1] == b"moof":
        return "its pictures (mdat) are missing"
    return None


def _riff(file: FileReader) -> str | None:
    at = 0
    while file.at(at, 4) == b"RIFF" and len(head := file.at(at, 8)) == 8:
        size = struct.unpack("<I", head[4:])[0]
        if size in (0, 0xFFFFFFFF):  # written where nobody could go back to fill it in
            return None
        at += 8 + size
        if at > file.size + 1:  # the size may count a byte of padding that is not there
            return _short_of(file, at)
        at += at % 2
    return None


_SEGMENT, _CLUSTER, _TAGS = 0x18538067, 0x1F43B675, 0x1254C367
_TOP = (_CLUSTER, _TAGS, 0x114D9B74, 0x1549A966, 0x1654AE6B, 0x1C53BB6B, 0x1941A469, 0x1043A770)


def _element(file: FileReader, at: int) -> tuple[int, int, int | None] | None:
    """(id, where its data begins, its size or None where it is unknown) of Matroska's element."""
    head = file.at(at, 12)
    if not head or not head[0]:
        return None
    length = 9 - head[0].bit_length()
    name = int.from_bytes(head[:length], "big")
    if length > 4 or len(head) <= length or not head[length]:
        return None
    width = 9 - head[length].bit_length()
    if len(head) < length + width:
        return None
    bits = 7 * width
    size = int.from_bytes(head[length : length + width], "big") & ((1 << bits) - 1)
    return name, at + length + width, None if size == (1 << bits) - 1 else size


def _matroska(file: FileReader) -> str | None:
    at = 0
    inside = False  # in a segment or cluster of unknown size
    while at < file.size:
        found = _element(file, at)
        if found is None:
            # Of an element that was begun not even the size is there.
            return "it ends within an element" if inside and file.size - at < 12 else None
        name, data, size = found
        if size is None:
            if name not in (_SEGMENT, _CLUSTER):
                return None
            at, inside = data, True
        elif name == _CLUSTER or not inside or name in _TOP or size < 1 << 32:
            at = data + size
            if at > file.size:
                return _short_of(file, at)
        else:
            return None
    return None


def _gif(file: FileReader) -> str | None:
    missing = "its end mark is missing"
    flags = file.at(10, 1)
    at = 13 + _gif_colours(flags[0]) if flags else file.size
    while at < file.size:
        kind = file.at(at, 1)
        if kind == b"\x3b":
            return None
        if kind == b"\x21":
            at += 2
        elif kind == b"\x2c":
            head = file.at(at, 10)
            if len(head) < 10:
                return missing
            at += 11 + _gif_colours(head[9])
        else:
            return None  # no block: damage of another kind
        while (length := file.at(at, 1)) and length[0]:
            at += 1 + length[0]
        at += 1
    return missing


def _gif_colours(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _flv(file: FileReader) -> str | None:
    claimed = re.search(rb"\0\x08filesize\0(.{8})", file.at(0, 4096), re.DOTALL)
    if claimed and file.size < (size := struct.unpack(">d", claimed[1])[0]) < 1 << 60:
        return _short_of(file, int(size))
    at = struct.unpack(">I", file.at(5, 4))[0] + 4
    while at < file.size:
        head = file.at(at, 11)
        if len(head) == 11 and (head[0] & 0x1F) not in (8, 9, 18):
            return None  # no tag: damage of another kind, or something that was appended
        if len(head) < 4:
            return "it ends within a tag"
        at += 11 + int.from_bytes(head[1:4], "big") + 4
    return _short_of(file, at)


def _transport_stream(packet: int) -> Callable[[FileReader], str | None]:
    def look(file: FileReader) -> str | None:
        return "it ends within a packet" if file.size % packet else None

    return look


def _program_stream(file: FileReader) -> str | None:
    at = 0
    while at < file.size:
        head = file.at(at, 14)
        if head[:4] == b"\0\0\0\0":  # padding, as Video CDs have it
            zeros = file.at(at, 4096)
            at += max(len(zeros) - len(zeros.lstrip(b"\0")) - 2, 1)
            continue
        if not head.startswith(b"\0\0\1"):
            short = file.size - at < 4 and head.strip(b"\0")
            return "it ends within a packet" if short else None
        if head[3:4] == b"\xb9":
            at += 4
        elif head[3:4] == b"\xba":
            # MPEG-1 and MPEG-2 differ in what follows the start code.
            old = len(head) > 4 and head[4] >> 4 == 2
            at += 12 if old else 14 + (head[13] & 7 if len(head) == 14 else 0)
        else:
            length = struct.unpack(">H", head[4:6])[0] if len(head) >= 6 else 1 << 16
            at += 6 + length
    return _short_of(file, at)


def _ogg(file: FileReader) -> str | None:
    at = 0
    open_streams: set[bytes] = set()
    while at < file.size:
        head = file.at(at, 27)
        if len(head) == 27 and not head.startswith(b"OggS"):
            return None  # no page: damage of another kind, or something that was appended
        lengths = file.at(at + 27, head[26]) if len(head) == 27 else b""
        if len(head) < 27 or len(lengths) < head[26]:
            return "it ends within a page"
        at += 27 + len(lengths) + sum(lengths)
        (open_streams.discard if head[5] & 4 else open_streams.add)(head[14:18])
    return _short_of(file, at) or ("its end mark is missing" if open_streams else None)


def _asf(file: FileReader) -> str | None:
    head = file.at(0, 1 << 16)
    at = head.find(bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365"))  # File Properties
    if at < 0:
        return _short_of(file, struct.unpack("<Q", head[16:24])[0])
    size, flags = (
        struct.unpack_from("<Q", head, at + 40)[0],
        struct.unpack_from("<I", head, at + 88),
    )
    broadcast = flags[0] & 1
    return None if broadcast else _short_of(file, size)


def _png(file: FileReader) -> str | None:
    at = 8
    animated = False
    while len(head := file.at(at, 8)) == 8:
        at += 12 + int.from_bytes(head[:4], "big")
        animated |= head[4:] == b"acTL"
        if head[4:] == b"IEND":
            break
    else:
        return (_short_of(file, at) or "its end mark is missing") if animated else None
    return _short_of(file, at) if animated else None


def _mxf(file: FileReader) -> str | None:
    at = struct.unpack(">Q", file.at(44, 8))[0]  # the footer
    if file.at(14, 1) not in (b"\2", b"\4") or not at:
        return None  # an open header does not know the footer's place
    while at < file.size:
        head = file.at(at, 25)
        if len(head) < 25 or not head.startswith(b"\x06\x0e\x2b\x34"):
            return "it ends within a part" if len(head) < 25 else None
        width = head[16] & 0x7F if head[16] & 0x80 else 0
        at += 17 + width + int.from_bytes(head[17 : 17 + width] if width else head[16:17], "big")
    return _short_of(file, at)


def _ivf(file: FileReader) -> str | None:
    at, frames, claimed = struct.unpack("<H", file.at(6, 2))[0], 0, file.at(24, 4)
    while len(head := file.at(at, 12)) == 12:
        at += 12 + struct.unpack("<I", head[:4])[0]
        frames += 1
    if head:
        return "it ends within a frame"
    fewer = frames < struct.unpack("<I", claimed)[0]
    return _short_of(file, at) or ("its last frames are missing" if fewer else None)


def _y4m(file: FileReader) -> str | None:
    first = file.at(0, 400).split(b"\n", 1)[0]
    words = {word[:1]: word[1:] for word in first.split(b" ")[1:]}
    width, height = int(words[b"W"]), int(words[b"H"])
    colours = words.get(b"C", b"420").decode("ascii", "replace")
    half = (width + 1) // 2
    planes = {"420": half * ((height + 1) // 2), "422": half * height, "444": width * height}
    if colours[:3] not in planes or colours == "444alpha":
        return None
    deep = colours[3:5] in ("p9", "p1")  # two bytes a sample: 420p10, but not 420paldv
    frame = (width * height + 2 * planes[colours[:3]]) << deep
    at = len(first) + 1
    while b"\n" in (head := file.at(at, 80)) and head.startswith(b"FRAME"):
        at += head.find(b"\n") + 1 + frame
    return "it ends within a frame" if file.at(at, 1) else _short_of(file, at)


def _is_mp4(start: bytes) -> bool:
    kinds = (b"ftyp", b"moov", b"mdat", b"free", b"skip", b"wide", b"pnot", b"styp", b"moof")
    return start[4:8] in (*kinds, b"sidx", b"uuid")


def _is_packets(start: bytes, packet: int, sync: int) -> bool:
    return len(start) > sync + packet and start[sync] == start[sync + packet] == 0x47


CONTAINERS: tuple[tuple[Callable[[bytes], bool], Callable[[FileReader], str | None]], ...] = (
    # (is it this container, by its first bytes; what shows that its end is missing, or None)
    (_is_mp4, _mp4),
    (lambda start: start[:4] == b"RIFF" and start[8:12] == b"AVI ", _riff),
    (lambda start: start.startswith(b"\x1a\x45\xdf\xa3"), _matroska),
    (lambda start: start.startswith((b"GIF87a", b"GIF89a")), _gif),
    (lambda start: start.startswith(b"FLV\1"), _flv),
    (lambda start: start.startswith(b"\0\0\1\xba"), _program_stream),
    (lambda start: start.startswith(b"OggS"), _ogg),
    (lambda start: start.startswith(bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")), _asf),
    (lambda start: start.startswith(b"\x89PNG\r\n\x1a\n"), _png),
    (lambda start: start.startswith(bytes.fromhex("060e2b34020501010d010201")), _mxf),
    (lambda start: start.startswith(b"DKIF"), _ivf),
    (lambda start: start.startswith(b"YUV4MPEG2 "), _y4m),
    (lambda start: _is_packets(start, 188, 0), _transport_stream(188)),
    (lambda start: _is_packets(start, 192, 4), _transport_stream(192)),
    (lambda start: _is_packets(start, 204, 0), _transport_stream(204)),
)
