"""Headers of MPEG-4 part 2: layers, groups and pictures (VOPs), and when the pictures are shown.

Names are those of the standard (ISO/IEC 14496-2, 6.2).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..bits import Bits, require

USER_DATA, GROUP, SEQUENCE, VOP = 0xB2, 0xB3, 0xB0, 0xB6
LAYERS = range(0x20, 0x30)
I_VOP, P_VOP, B_VOP = 0, 1, 2
START = b"\0\0\1"
RARE = "a VOP header is damaged or of a rare kind"


@dataclass(frozen=True)
class Layer:
    """Of a video object layer. `low_delay`: None where it is not declared."""

    resolution: int
    low_delay: bool | None

    @property
    def time_bits(self) -> int:
        """That a picture's time takes within a second."""
        return max((self.resolution - 1).bit_length(), 1)


class Clock:
    """Time of pictures as FFmpeg follows it: a B-VOP outside its neighbours' times is not shown."""

    def __init__(self) -> None:
        self._base = self._last_base = 0
        self._last_anchor = self._gap = 0
        self._grouped: bool | None = None
        self._in_group = False

    def group(self, unit: bytes) -> None:
        """Follow a group's header. Raises NotProven where it is wrong."""
        bits = Bits(unit[4:12], escaped=False)
        hours, minutes = bits.u(5), bits.u(6)
        require(bits.u(1) == 1 and minutes < 60, RARE)
        self._base = bits.u(6) + 60 * (minutes + 60 * hours)
        self._in_group = True

    def picture(self, vop: bytes, layer: Layer, kind: int, *, anchors: int) -> None:
        """Raises NotProven where a header is wrong or its picture would not be shown."""
        bits = _after_start(vop)
        seconds = 0
        while bits.u(1):
            seconds += 1
            require(seconds < 100, RARE)
        require(bits.u(1) == 1, RARE)
        ticks = bits.u(layer.time_bits)
        require(bits.u(1) == 1 and bits.u(1) == 1, RARE)  # marker, vop_coded
        if kind == P_VOP:
            bits.u(1)
        bits.u(3)
        require(bits.u(5) > 0, RARE)  # vop_quant
        for _ in range(kind):  # vop_fcode_forward, vop_fcode_backward
            require(bits.u(3) > 0, RARE)
        if kind == B_VOP:
            time = (self._last_base + seconds) * layer.resolution + ticks
            since = self._gap - (self._last_anchor - time)
            require(anchors > 1 and 0 < since < self._gap, "B-frames that are not shown")
            return
        if kind == I_VOP:
            # A later group tells the time anew, or none does.
            require(self._grouped in (None, self._in_group), "times of groups")
            self._grouped = self._in_group
        else:
            require(anchors > 0, "no keyframe at the start")
        self._in_group = False
        self._last_base = self._base
        self._base += seconds
        time = self._base * layer.resolution + ticks
        self._gap, self._last_anchor = time - self._last_anchor, time


def units(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Start code, and where it begins and the next one does."""
    at = data.find(START)
    while 0 <= at < len(data) - 3:
        following = data.find(START, at + 3)
        yield data[at + 3], at, len(data) if following < 0 else following
        at = following


def _after_start(vop: bytes) -> Bits:
    """Behind the kind of the last picture in these bytes."""
    at = vop.rindex(START + bytes((VOP,))) + 4
    bits = Bits(vop[at : at + 20], escaped=False)
    bits.u(2)
    return bits


def kind_of(vop: bytes) -> int:
    """Of the last picture in these bytes. Raises NotProven where it is a sprite, or none."""
    at = vop.rindex(START + bytes((VOP,))) + 4
    require(at < len(vop) and vop[at] >> 6 <= B_VOP, RARE)
    return vop[at] >> 6


def is_coded(vop: bytes, layer: Layer) -> bool:
    """Whether it is more than a placeholder. Raises NotProven where it ends too early."""
    bits = _after_start(vop)
    while bits.u(1):
        pass
    bits.u(1 + layer.time_bits + 1)
    return bool(bits.u(1))


def layer_of(unit: bytes) -> Layer:
    """From the bytes of its header. Raises NotProven where it is wrong or of a rare kind."""
    bits = Bits(unit[4:], escaped=False)
    bits.u(9)
    version = 1
    if bits.u(1):
        version = bits.u(4)
        bits.u(3)
    if bits.u(4) == 15:
        bits.u(16)
    low_delay = None
    if bits.u(1):  # vol_control_parameters
        bits.u(2)
        low_delay = bool(bits.u(1))
        if bits.u(1):
            bits.u(79)
    rare = "a video object layer of a rare kind"
    require(bits.u(2) == 0, rare)  # rectangular
    bits.u(1)
    resolution = bits.u(16)
    require(resolution > 0 and bits.u(1) == 1, rare)
    layer = Layer(resolution, low_delay)
    if bits.u(1):
        bits.u(layer.time_bits)
    bits.u(29)
    require(bits.u(1) == 0, "fields")
    bits.u(1)
    require(bits.u(1 if version == 1 else 2) == 0 and bits.u(1) == 0, rare)  # sprites, not 8 bits
    if bits.u(1):
        for _ in range(2):
            if bits.u(1):
                for _ in range(64):
                    if bits.u(8) == 0:
                        break
    if version != 1:
        bits.u(1)
    require(bits.u(1) == 1, rare)  # complexity_estimation_disable
    bits.u(1)
    require(bits.u(1) == 0, rare)  # data_partitioned
    if version != 1:
        require(bits.u(2) == 0, rare)
    require(bits.u(1) == 0, rare)  # scalability
    return layer
