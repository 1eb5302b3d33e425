"""What the headers of packets of H.264 say: 17 bytes a packet, and each picture that differs."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..bits import require
from .pictures import Picture, looks_whole, picture
from .sets import ParameterSets

_DIFFERENT = 1 << 17
"""Pictures at most, so that memory stays small: twice as many as a frame number tells apart."""


class PacketHeader(NamedTuple):
    """What is kept of a packet without its bytes.

    Attributes:
        pts: its time stamp.
        size: in bytes.
        picture: what its headers say.
        whole: see `looks_whole`.
    """

    pts: int
    size: int
    picture: Picture
    whole: bool


class PacketHeaders:
    """Those of packets in the order of decoding; takes the place of a list of packets."""

    def __init__(self, sets: ParameterSets) -> None:
        self._sets = sets
        self._pts = array("q")
        self._sizes = array("I")
        # A long video has few that differ.
        self._pictures: list[Picture] = []
        self._places: dict[Picture, int] = {}
        self._picture = array("I")
        self._whole = bytearray()

    def append(self, packet: Any) -> None:
        """Keep what the headers of a packet say. Raises NotProven."""
        require(packet.pts is not None, "a packet has no time stamp")
        data = memoryview(packet)
        one = picture(data, self._sets)
        place = self._places.setdefault(one, len(self._pictures))
        if place == len(self._pictures):
            require(place < _DIFFERENT, "too many different pictures")
            self._pictures.append(one)
        self._pts.append(packet.pts)
        self._sizes.append(packet.size)
        self._picture.append(place)
        self._whole.append(looks_whole(data, self._sets))

    def __len__(self) -> int:
        return len(self._pts)

    def __iter__(self) -> Iterator[PacketHeader]:
        return map(self.__getitem__, range(len(self)))

    def __getitem__(self, place: int) -> PacketHeader:
        one = self._pictures[self._picture[place]]
        return PacketHeader(self._pts[place], self._sizes[place], one, bool(self._whole[place]))


def picture_of(packet: Any, sets: ParameterSets) -> Picture:
    """The picture of a packet, or of what is kept of it. Raises NotProven."""
    return packet.picture if isinstance(packet, PacketHeader) else picture(memoryview(packet), sets)


def is_whole(packet: Any, sets: ParameterSets) -> bool:
    """`looks_whole` of a packet, or of what is kept of it."""
    return (
        packet.whole if isinstance(packet, PacketHeader) else looks_whole(memoryview(packet), sets)
    )
