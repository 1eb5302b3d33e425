"""Pictures of H.264 by their slice headers: which others they need, and when they are shown.

A decoder that is not given a picture behaves as if it had decoded it if nothing refers to it and
its headers are right: what its pixels are made of matters to itself only. Names are those of the
standard (ITU-T H.264, 7.3.3).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..bits import Bits, BitsEnd, NotProven, require
from .sets import ParameterSets, PictureSet, SequenceSet

_SLICE, _IDR_SLICE, _SEQUENCE_SET, _PICTURE_SET = 1, 5, 7, 8
_IGNORED = frozenset((6, 9, 12))  # supplemental information, delimiters, filler
_P, _B, _I = 0, 1, 2
_HEADER = (48, 768)
"""Bytes that a slice header takes: nearly always, and at most as far as it is followed here."""
_ONE_PICTURE = "a packet that is not one picture"


@dataclass(frozen=True, slots=True)
class Picture:
    """A frame in a packet.

    Attributes:
        restarts: nothing after it refers to anything before it (IDR).
        referred: others may refer to it.
        parameters: the number of its picture parameter set.
        frame_num, poc_lsb, poc_bottom: of its slice headers.
    """

    restarts: bool
    referred: bool
    parameters: int
    frame_num: int
    poc_lsb: int
    poc_bottom: int


def picture(packet: memoryview, sets: ParameterSets) -> Picture:
    """The one picture of a packet.

    Raises:
        NotProven: it has none or several, or parts that are wrong or not followed here.
    """
    found = None
    for unit in _units(packet, sets):
        kind = unit[0] & 31
        require(unit[0] < 128)  # forbidden_zero_bit
        if kind in (_SLICE, _IDR_SLICE):
            first, one = _slice(unit, sets)
            require((first == 0) == (found is None) and found in (None, one), _ONE_PICTURE)
            found = one
        elif kind in (_SEQUENCE_SET, _PICTURE_SET):
            require(found is None and bytes(unit) in sets.units, "parameters change")
        else:
            require(kind in _IGNORED, f"a NAL unit of type {kind}")
    if found is None:
        raise NotProven(_ONE_PICTURE)
    return found


def looks_whole(packet: memoryview, sets: ParameterSets) -> bool:
    """Whether no part of a packet that `picture` takes is what no encoder writes into a NAL unit.

    Lost parts of a file are often zeros.
    """
    for unit in map(bytes, _units(packet, sets)):
        # As `any` over a tuple it takes twice as long.
        if unit[-1] == 0 or b"\0\0\0" in unit or b"\0\0\1" in unit or b"\0\0\2" in unit:
            return False
    return True


def _units(packet: memoryview, sets: ParameterSets) -> Iterator[memoryview]:
    """NAL units of a packet, without the lengths before them; none is empty."""
    at, end = 0, len(packet)
    while at < end:
        begin = at + sets.length
        at = begin + int.from_bytes(packet[at:begin], "big")
        require(begin < at <= end, "a packet is cut off")
        yield packet[begin:at]


def _slice(unit: memoryview, sets: ParameterSets) -> tuple[int, Picture]:
    """Its first macroblock, and the picture it belongs to."""
    idr, referred = unit[0] & 31 == _IDR_SLICE, unit[0] & 0x60 > 0
    few, most = _HEADER
    try:  # numbers of few bits are read faster
        return _header(Bits(bytes(unit[1:few])), idr, referred, sets)
    except BitsEnd:
        return _header(Bits(bytes(unit[1:most])), idr, referred, sets)


def _header(bits: Bits, idr: bool, referred: bool, sets: ParameterSets) -> tuple[int, Picture]:
    sequence = sets.sequence
    first, kind, number = bits.ue(), bits.ue(), bits.ue()
    require(first < sequence.macroblocks and kind < 10 and number in sets.pictures)
    kind, pps = kind % 5, sets.pictures[number]
    require(kind in (_P, _B, _I))
    frame_num = bits.u(sequence.frame_num_bits)
    if idr:
        require(kind == _I and referred and frame_num == 0)
        require(bits.ue() < 1 << 16)
    lsb = bits.u(sequence.poc_lsb_bits) if sequence.poc_type == 0 else 0
    bottom = bits.se() if sequence.poc_type == 0 and pps.bottom_poc else 0
    if kind == _B:
        bits.u(1)
    if kind != _I:
        _references(bits, kind, pps, sequence)
    if referred:
        _marking(bits, idr)
    if pps.cabac and kind != _I:
        require(bits.ue() <= 2)
    require(-6 * (sequence.depth - 8) <= pps.qp + bits.se() <= 51)
    if pps.deblocking:
        off = bits.ue()
        require(off <= 2)
        if off != 1:
            require(abs(bits.se()) <= 6 and abs(bits.se()) <= 6)
    return first, Picture(idr, referred, number, frame_num, lsb, bottom)


def _references(bits: Bits, kind: int, pps: PictureSet, sequence: SequenceSet) -> None:
    lists = 2 if kind == _B else 1
    counts = list(pps.references[:lists])
    if bits.u(1):
        counts = [bits.ue() + 1 for _ in range(lists)]
        require(max(counts) <= 16)
    for count in counts:
        if bits.u(1):
            for _ in range(count + 1):
                operation = bits.ue()
                if operation == 3:
                    break
                require(operation < 3)
                most = 16 if operation == 2 else 1 << sequence.frame_num_bits
                require(bits.ue() < most)
            else:
                raise NotProven("a slice header is damaged")
    if (pps.weighted and kind == _P) or (pps.weighted_bi == 1 and kind == _B):
        require(bits.ue() <= 7)
        require(not sequence.chroma or bits.ue() <= 7)
        for count in counts:
            for _ in range(count):
                for planes in (1, 2) if sequence.chroma else (1,):
                    if bits.u(1):
                        for _ in range(2 * planes):
                            require(-128 <= bits.se() <= 127)


def _marking(bits: Bits, idr: bool) -> None:
    if idr:
        require(bits.u(1) == 0)  # no_output_of_prior_pics_flag
        bits.u(1)
    elif bits.u(1):
        for _ in range(32):
            operation = bits.ue()
            if operation == 0:
                return
            require(operation in (1, 2, 3, 4, 6))  # 5 makes all references invalid
            if operation in (1, 3):
                bits.ue()
            if operation != 1:
                require(bits.ue() < 16 + (operation == 4))
        raise NotProven("a slice header is damaged")
