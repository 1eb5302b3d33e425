"""Which packets of a video need not be decoded for which frames: only where the packets prove it.

The file is H.264 in MP4, MOV or Matroska. Its packets are whole, are not marked as damaged or to be
discarded, and have time stamps of their own; each holds one picture whose headers are right and
follow one another; and in the order of their time stamps the pictures leave a decoder one by one.
Then every packet becomes one frame, and the frame's number is its packet's place by time stamp.
Where all frames are wanted nothing is left out, and headers of pictures need no proof: whether
every packet becomes a frame, in that order, is seen when they are decoded.

How far pictures are reordered is declared, or follows from the table of time stamps in an MP4 file,
as FFmpeg takes it. A decoder that waits longer than it must shows them in the same order.
"""

from __future__ import annotations

import bisect
import heapq
from array import array
from collections.abc import Sequence, Set
from typing import Any

from .bits import NotProven, require
from .formats import MP4
from .h264_pictures import Picture, looks_whole, picture
from .h264_sets import ParameterSets, parameter_sets

_HELD = 1 << 25
"""Bytes of packets that are kept in memory between the look at them and decoding."""
_FORMATS = (MP4, "matroska,webm")
_MOST_REORDERED = 16
_ODD = ("new_extradata", "param_change", "skip_samples")
"""Kinds of data beside a packet that change what decoding does."""

_ORDER = "time stamps that are not in the order of the pictures"


class Packets:
    """The packets of a video stream, as they are demuxed, until something is not proven.

    Attributes:
        why_not: what speaks against it, as a few words; "" while nothing does.
        times: time stamps of the frames, in the order of the packets.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        self._stream = stream
        self._format: str = container.format.name
        self.times = array("q")
        self._referred, self._restarts = bytearray(), bytearray()
        self._kept: list[Any] = []
        self._bytes = 0
        self.why_not = _unknown(container, stream)
        if self.why_not:
            return
        try:
            self._sets: ParameterSets = parameter_sets(stream.codec_context.extradata)
        except NotProven as error:
            self.why_not = str(error)

    def see(self, packet: Any) -> None:
        """To be called with every packet of every stream, in the order of the file."""
        if self.why_not or packet.stream is not self._stream:
            return
        if not packet.size and packet.dts is None:
            return  # the end
        try:
            self._see(packet)
        except (NotProven, ValueError) as error:
            self.give_up(str(error))

    def _see(self, packet: Any) -> None:
        require(not packet.is_corrupt, "a packet is cut off")
        require(not packet.is_discard, "frames that are not shown")
        require(packet.pts is not None, "a packet has no time stamp")
        odd = any(data.data_type in _ODD for data in packet.iter_sidedata())
        require(not odd, "parameters change")
        self.times.append(packet.pts)
        self._bytes += packet.size
        require(self._bytes <= _HELD, "packets of more than 32 MiB")
        self._kept.append(packet)

    def give_up(self, why: str) -> None:
        """Prove nothing, and keep no packets."""
        self.why_not = self.why_not or why
        self._kept.clear()

    def end(self, frames: int) -> None:
        """To be called after the last packet.

        Args:
            frames: that the packets promise; 0 where the file is cut off or damaged.
        """
        try:
            require(not self.why_not, self.why_not)
            require(frames == len(self.times) > 0, "the file is cut off or damaged")
            require(self.times[0] == min(self.times), _ORDER)
            if self._sets.sequence.reorder is None:
                # Of pieces FFmpeg learns it from the frames that it decodes.
                has_table = self._format == MP4 and self._stream.frames == frames
                require(has_table, "how far pictures are reordered is not declared")
        except NotProven as error:
            self.give_up(str(error))

    def _prove(self) -> None:
        declared = self._sets.sequence.reorder
        order = _Order(self._sets, reordered(self.times) if declared is None else declared)
        for packet, time in zip(self._kept, self.times, strict=True):
            one = picture(memoryview(packet), self._sets)
            order.see(one, time)
            self._referred.append(one.referred)
            self._restarts.append(one.restarts)
        order.end()

    def numbers(self) -> dict[int, int]:
        """Numbers of the frames, by their time stamps."""
        return {time: k for k, time in enumerate(sorted(self.times))}

    def needed(self, wanted: Set[int]) -> list[Any] | None:
        """The packets that are to be decoded, in order, so that frames of these numbers come out.

        The first one is among them: the first frame tells the size and rotation, and encoders put
        there what they are called, which decoders look at.

        Returns:
            None where a packet that could be left out is damaged for all to see.
        """
        if self.why_not:
            return None
        if len(wanted) == len(self.times):
            return list(self._kept)
        try:
            self._prove()
        except (NotProven, ValueError) as error:
            self.give_up(str(error))
            return None
        numbers = self.numbers()
        is_wanted = [numbers[time] in wanted for time in self.times]
        is_wanted[0] = True
        needed = []
        later = False  # whether a later picture before the next restart is wanted
        for k in reversed(range(len(is_wanted))):
            take = is_wanted[k] or (later and self._referred[k])
            if take:
                needed.append(self._kept[k])
            elif not looks_whole(memoryview(self._kept[k]), self._sets):
                self.give_up("a packet has holes")
                return None
            later = (later or is_wanted[k]) and not self._restarts[k]
        return needed[::-1]


def reordered(times: Sequence[int]) -> int:
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


def _unknown(container: Any, stream: Any) -> str:
    codec, form = stream.codec_context.name, container.format.name
    if codec != "h264":
        return f"codec {codec}"
    return "" if form in _FORMATS else f"container {form}"


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
