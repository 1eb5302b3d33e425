"""Encoders of MPEG-4 part 2, by what they write about themselves, and the bugs of theirs.

FFmpeg works around the bugs of an encoder that it knows. One bug it guesses from the pictures that
it decodes: that they do not end as the standard says. It counts, so that a damaged picture may
change how others look that do not need it, and that a picture looks otherwise where others are left
out. So a selective decoder is told which bugs an encoder has, and does not guess; nor does a full
one where the file turned out to be damaged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from ..bits import NotProven, require

_VERSIONS = {
    b"DivX": re.compile(rb"DivX(\d+)(?:Build|b)(\d+)(p?)"),
    b"XviD": re.compile(rb"XviD(\d+)"),
    b"Lavc": re.compile(rb"Lavc([1-9]\d*)\.(\d+)\.(\d+)"),
}
_OLD = (b"FFmp", b"ffmp")
_UNKNOWN = "an encoder that is not known"


@dataclass(frozen=True)
class Encoder:
    """What a stream's user data says.

    bugs      FFmpeg's option `bug`
    packs     B-VOPs may lie in the packet before their own
    skips     a packet of one byte stands for a picture that is not shown
    """

    bugs: str
    packs: bool
    skips: bool


def encoder_of(texts: Iterable[bytes]) -> Encoder:
    """The encoder of a stream.

    Args:
        texts: the user data of its headers, without start codes.

    Raises:
        NotProven: none is named, or one with bugs that are not told here.
    """
    found: dict[bytes, tuple[bytes, ...]] = {}
    for text in texts:
        name = text[:4]
        require(name not in _OLD, _UNKNOWN)
        if name in _VERSIONS:
            match = _VERSIONS[name].match(text)
            if match is None or found.setdefault(name, match.groups()) != match.groups():
                raise NotProven(_UNKNOWN)
    require(bool(found), _UNKNOWN)
    xvid, divx, lavc = found.get(b"XviD"), found.get(b"DivX"), found.get(b"Lavc")
    bugs: list[str] = []  # without those of fields, which are not followed here
    if xvid:  # it also writes what DivX does where it packs
        require(int(xvid[0]) > 32, _UNKNOWN)
    elif divx:
        version, build = int(divx[0]), int(divx[1])
        require(version >= 500 and (version, build) != (501, 20020416), _UNKNOWN)
        # `direct_blocksize` is not among them: FFmpeg finds it, and goes by the option alone.
        if build < 1814:
            bugs += ["+qpel_chroma", "+qpel_chroma2"] if version > 502 else ["+qpel_chroma"]
    if lavc:
        release = [int(part) for part in lavc]
        require(max(release) < 256, _UNKNOWN)
        bugs += ["+iedge"] if _of_edges(*release) else []
    return Encoder(
        bugs="".join(["-autodetect", *bugs]),
        packs=divx is not None and divx[2] == b"p",
        skips=bool(xvid or divx),
    )


def _of_edges(major: int, minor: int, micro: int) -> bool:
    """Whether a version of libavcodec predicted chroma beyond the edges of pictures otherwise."""
    fixed = (57, 64, 101) <= (major, minor, micro) < (57, 65, 0)
    return (55, 66, 101) <= (major, minor, micro) < (57, 66, 104) and micro >= 100 and not fixed
