"""Parameter sets of H.264: the part of them that slice headers and the order of frames need.

Names are those of the standard (ITU-T H.264, 7.3.2).
"""

from __future__ import annotations

from dataclasses import dataclass

from ..bits import Bits, require

_WITH_CHROMA_FORMAT = frozenset((44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244))
_EXTENDED_SAR = 255
_SETS = "parameter sets are damaged or of a rare kind"


@dataclass(frozen=True)
class SequenceSet:
    """Of pictures that are whole frames. `reorder`: None where it is not declared."""

    chroma: bool
    depth: int
    frame_num_bits: int
    poc_type: int
    poc_lsb_bits: int
    macroblocks: int
    reorder: int | None


@dataclass(frozen=True)
class PictureSet:
    """What a slice header depends on."""

    cabac: bool
    bottom_poc: bool
    references: tuple[int, int]
    weighted: bool
    weighted_bi: int
    qp: int
    deblocking: bool


@dataclass(frozen=True)
class ParameterSets:
    """Of a file: bytes a NAL unit's length takes, its sets, and their bytes."""

    length: int
    sequence: SequenceSet
    pictures: dict[int, PictureSet]
    units: frozenset[bytes]


def parameter_sets(extradata: bytes | None) -> ParameterSets:
    """The sets of a file whose NAL units begin with their lengths ("avcC").

    Raises:
        NotProven: they are of another form, or allow what is not followed here: fields, gaps
            between frame numbers, slice groups, redundant pictures, CAVLC.
    """
    data = extradata or b""
    require(len(data) > 7 and data[0] == 1 and data[5] & 31 == 1, _SETS)
    units = []
    at = 6
    for _ in range(2):
        require(at <= len(data), _SETS)
        count = 1 if at == 6 else data[at - 1]
        for _ in range(count):
            size = int.from_bytes(data[at : at + 2], "big")
            units.append(data[at + 2 : at + 2 + size])
            require(size > 1 and len(units[-1]) == size, _SETS)
            at += 2 + size
        at += 1
    require(units[0][0] & 0x9F == 7 and all(unit[0] & 0x9F == 8 for unit in units[1:]), _SETS)
    number, sequence = _sequence_set(units[0])
    pictures = dict(_picture_set(unit, number) for unit in units[1:])
    require(len(pictures) == len(units) - 1 > 0, _SETS)
    # After an error in a picture of the other kind FFmpeg leaves coefficients to the next one.
    require(all(one.cabac for one in pictures.values()), "CAVLC")
    return ParameterSets((data[4] & 3) + 1, sequence, pictures, frozenset(units))


def _sequence_set(unit: bytes) -> tuple[int, SequenceSet]:
    bits = Bits(unit[1:])
    profile = bits.u(8)
    bits.u(16)
    number = bits.ue()
    chroma, depth = 1, 8
    if profile in _WITH_CHROMA_FORMAT:
        chroma = bits.ue()
        if chroma == 3:
            require(bits.u(1) == 0, "separate colour planes")
        depth = 8 + bits.ue()
        bits.ue()
        bits.u(1)
        if bits.u(1):
            for k in range(12 if chroma == 3 else 8):
                if bits.u(1):
                    _scaling_list(bits, 16 if k < 6 else 64)
    frame_num_bits = bits.ue() + 4
    poc_type = bits.ue()
    require(poc_type in (0, 2) and frame_num_bits <= 16, "picture order counts of type 1")
    poc_lsb_bits = bits.ue() + 4 if poc_type == 0 else 0
    require(poc_lsb_bits <= 16, _SETS)
    bits.ue()
    require(bits.u(1) == 0, "gaps between frame numbers")
    macroblocks = (bits.ue() + 1) * (bits.ue() + 1)
    require(bits.u(1) == 1, "fields")  # frame_mbs_only_flag
    bits.u(1)
    if bits.u(1):  # frame_cropping_flag
        for _ in range(4):
            bits.ue()
    reorder = _reordering(bits) if bits.u(1) else None  # vui_parameters_present_flag
    return number, SequenceSet(
        chroma > 0, depth, frame_num_bits, poc_type, poc_lsb_bits, macroblocks, reorder
    )


def _scaling_list(bits: Bits, size: int) -> None:
    last = following = 8
    for _ in range(size):
        if following:
            following = (last + bits.se()) % 256
        last = following or last


def _reordering(bits: Bits) -> int | None:
    """max_num_reorder_frames of video usability information; None: it does not say."""
    if bits.u(1) and bits.u(8) == _EXTENDED_SAR:
        bits.u(32)
    if bits.u(1):  # overscan
        bits.u(1)
    if bits.u(1):  # video signal type
        bits.u(4)
        if bits.u(1):
            bits.u(24)
    if bits.u(1):  # chroma location
        bits.ue()
        bits.ue()
    if bits.u(1):  # timing
        bits.u(65)
    both = 0
    for _ in range(2):
        if bits.u(1):
            both = 1
            _hypothetical_decoder(bits)
    if both:
        bits.u(1)
    bits.u(1)
    if not bits.u(1):  # bitstream_restriction_flag
        return None
    bits.u(1)
    for _ in range(4):
        bits.ue()
    reorder, buffered = bits.ue(), bits.ue()
    require(reorder <= buffered <= 16, _SETS)
    return reorder


def _hypothetical_decoder(bits: Bits) -> None:
    count = bits.ue() + 1
    require(count <= 32, _SETS)
    bits.u(8)
    for _ in range(count):
        bits.ue()
        bits.ue()
        bits.u(1)
    bits.u(20)


def _picture_set(unit: bytes, sequence: int) -> tuple[int, PictureSet]:
    bits = Bits(unit[1:])
    number = bits.ue()
    require(bits.ue() == sequence, _SETS)
    cabac, bottom_poc = bool(bits.u(1)), bool(bits.u(1))
    require(bits.ue() == 0, "slice groups")
    references = bits.ue() + 1, bits.ue() + 1
    require(max(references) <= 16, _SETS)
    weighted, weighted_bi = bool(bits.u(1)), bits.u(2)
    qp = 26 + bits.se()
    bits.se()
    bits.se()
    deblocking = bool(bits.u(1))
    bits.u(1)
    require(bits.u(1) == 0 and weighted_bi < 3, "redundant pictures")
    return number, PictureSet(cabac, bottom_poc, references, weighted, weighted_bi, qp, deblocking)
