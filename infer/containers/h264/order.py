"""Pictures of a stream of H.264: which others they need, and as which frames they are shown.

Each packet holds one picture whose headers are right and follow one another; in the order of their
time stamps the pictures leave a decoder one by one. Then every packet becomes one frame, and the
frame's number is its packet's place by time stamp. Where all frames are wanted nothing is left out,
and headers of pictures whose packets are kept need no proof: whether every packet becomes a frame,
in that order, is seen when they are decoded.

How far pictures are reordered is declared, or follows from the table of time stamps in an MP4 file,
as FFmpeg takes it. A decoder that waits longer than it must shows them in the same order.
"""

from __future__ import annotations

import bisect
import functools
import heapq
import itertools
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from ..bits import require
from ..formats import MP4
from .packet_headers import PacketHeaders, is_whole, picture_of
from .pictures import Picture
from .sets import ParameterSets, parameter_sets

_MOST_REORDERED = 16
_ORDER = "time stamps that are not in the order of the pictures"
_sets_of = functools.lru_cache(64)(parameter_sets)  # clips of one encoder have the same


class H264:
    """Follows the pictures of a stream; `infer.containers.proven.Proof`."""

    def __init__(self, container: Any, stream: Any) -> None:
        self._sets: ParameterSets = _sets_of(stream.codec_context.extradata)
        # Of pieces FFmpeg learns how far pictures are reordered from the frames that it decodes.
        self._has_table = container.format.name == MP4 and stream.frames
        self._packets: Sequence[Any] = ()
        self._times: Sequence[int] = ()

    @property
    def options(self) -> Mapping[str, str]:
        """None."""
        return {}

    def headers(self) -> PacketHeaders:
        """For packets that are not kept."""
        return PacketHeaders(self._sets)

    def numbers(self, packets: Sequence[Any]) -> Sequence[int]:
        """As which frame each picture is shown, in the order of decoding. Raises NotProven."""
        self._packets = packets
        self._times, numbers = _ranks(packets)
        if self._sets.sequence.reorder is None:
            declared = self._has_table == len(packets)
            require(declared, "how far pictures are reordered is not declared")
        return numbers

    def needs(self) -> list[tuple[int, ...]]:
        """Places of the pictures that each one needs. Raises NotProven."""
        declared = self._sets.sequence.reorder
        order = _Order(self._sets, _reordered(self._times) if declared is None else declared)
        found: list[tuple[int, ...]] = []
        referred: tuple[int, ...] = ()  # it needs the one before in turn
        for k, (packet, time) in enumerate(zip(self._packets, self._times, strict=True)):
            one = picture_of(packet, self._sets)
            order.see(one, time)
            found.append(() if one.restarts else referred)
            if one.referred:
                referred = (k,)
        order.end()
        return found

    def may_be_left_out(self, place: int) -> bool:
        """True; raises NotProven where a picture is damaged for all to see."""
        require(is_whole(self._packets[place], self._sets), "a packet has holes")
        return True

    def packet(self, place: int) -> Any:
        """What the decoder gets."""
        return self._packets[place]


def _ranks(packets: Sequence[Any]) -> tuple[array[int], array[int]]:
    """Time stamps of packets, and the place of each among them.

    Raises:
        NotProven: there are none, or they are not unique, or the first packet's is not the first.
    """
    require(all(packet.pts is not None for packet in packets), "a packet has no time stamp")
    times = array("q", (packet.pts for packet in packets))
    order = sorted(range(len(times)), key=times.__getitem__)
    numbers = array("I", [0]) * len(times)
    for number, k in enumerate(order):
        numbers[k] = number
    unique = all(times[one] < times[other] for one, other in itertools.pairwise(order))
    require(unique and numbers[0] == 0, _ORDER)
    return times, numbers


def _reordered(times: Sequence[int]) -> int:
    """How many pictures must wait so that all are shown in the order of their time stamps.

    Raises:
        NotProven: more than a decoder keeps.
    """
    latest: list[int] = []
    most = 0
    for time in times:
        place = bisect.bisect_right(latest, time)
        most = max(most, len(latest) - place)
        latest.insert(place, time)
        del latest[: -(_MOST_REORDERED + 1)]
    require(most <= _MOST_REORDERED, _ORDER)
    return most


class _Order:
    """Follows the numbers of pictures as a decoder does, and the order in which it shows them."""

    def __init__(self, sets: ParameterSets, reorder: int) -> None:
        sequence = sets.sequence
        self._reorder = reorder
        self._by_frame_num = sequence.poc_type == 2
        self._frame_nums = 1 << sequence.frame_num_bits
        self._lsbs = 1 << sequence.poc_lsb_bits
        self._period = 0  # since the last restart
        self._referred = 0  # frame_num of the last picture that others may refer to
        self._frame_num = self._frame_num_offset = 0
        self._msb = self._lsb = 0
        self._waiting: list[tuple[int, int, int]] = []  # period, order count, time stamp
        self._shown: tuple[int, int, int] | None = None

    def see(self, one: Picture, time: int) -> None:
        """Raises NotProven where a decoder would see a gap, or show pictures in another order."""
        if one.restarts:
            self._period += 1
            self._frame_num_offset = self._msb = self._lsb = 0
        else:
            require(self._period > 0, "no keyframe at the start")
            require(one.frame_num == (self._referred + 1) % self._frame_nums, "a missing picture")
        heapq.heappush(self._waiting, (self._period, self._count(one), time))
        if one.referred:
            self._referred = one.frame_num
        self._frame_num = one.frame_num
        if len(self._waiting) > self._reorder:
            self._show()

    def end(self) -> None:
        """Raises as `see`."""
        while self._waiting:
            self._show()

    def _show(self) -> None:
        following = heapq.heappop(self._waiting)
        if self._shown is not None:
            require(following[:2] > self._shown[:2] and following[2] > self._shown[2], _ORDER)
        self._shown = following

    def _count(self, one: Picture) -> int:
        """PicOrderCnt (8.2.1.1 and 8.2.1.3 of the standard)."""
        if self._by_frame_num:
            if not one.restarts and one.frame_num < self._frame_num:
                self._frame_num_offset += self._frame_nums
            return 2 * (self._frame_num_offset + one.frame_num) - (not one.referred)
        msb, half = self._msb, self._lsbs // 2
        if not one.restarts:
            if one.poc_lsb < self._lsb and self._lsb - one.poc_lsb >= half:
                msb += self._lsbs
            elif one.poc_lsb > self._lsb and one.poc_lsb - self._lsb > half:
                msb -= self._lsbs
        if one.referred:
            self._msb, self._lsb = msb, one.poc_lsb
        return msb + one.poc_lsb + min(one.poc_bottom, 0)
