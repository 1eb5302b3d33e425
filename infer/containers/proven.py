"""Which packets of a video need not be decoded for which frames: only where the packets prove it.

The packets of the file are whole, and are not marked as damaged or to be discarded. For each codec
a `Proof` says which frame a picture becomes and which others it needs, and raises NotProven where
something is not followed. Then all packets are decoded; those of a codec whose decoder learns
nothing from FFmpeg's probing of a file are decoded as they were read, so that it is read once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, Protocol

from .bits import NotProven, require
from .formats import MP4
from .h264.order import H264
from .mpeg4.pictures import Mpeg4

_HELD = 1 << 25
"""Bytes of packets that are kept in memory between the look at them and decoding."""
_MATROSKA = "matroska,webm"
_FORMATS = {
    "h264": (MP4, _MATROSKA),
    "mpeg4": (MP4, _MATROSKA, "avi"),
}
_UNPROBED = frozenset(("mpeg4", "vp8", "vp9", "libdav1d", "av1", "mjpeg", "prores", "hevc"))
"""Codecs whose packets decode alike without it. H.264 learns how far pictures are reordered."""
_ODD = ("new_extradata", "param_change", "skip_samples")
"""Kinds of data beside a packet that change what decoding does."""


class Proof(Protocol):
    """What the pictures of a stream need. Pictures are counted in the order of decoding."""

    @property
    def options(self) -> Mapping[str, str]:
        """Of FFmpeg's decoder, for pictures of which others are left out; behind `numbers`."""

    def numbers(self, packets: Sequence[Any]) -> list[int]:
        """As which frame each picture is shown. Raises NotProven."""

    def needs(self) -> list[tuple[int, ...]]:
        """Places of the pictures that each one needs. Raises NotProven."""

    def may_be_left_out(self, place: int) -> bool:
        """Whether a picture that nobody needs need not be decoded. Raises NotProven."""

    def packet(self, place: int) -> Any:
        """What the decoder gets for a picture."""


class Packets:
    """The packets of a video stream, as they are demuxed, until something is not proven.

    Attributes:
        why_not: what speaks against it, as a few words; "" while nothing does.
        frames: how many there are; 0 where it is not proven.
    """

    def __init__(self, container: Any, stream: Any) -> None:
        codec, form = stream.codec_context.name, container.format.name
        self._stream = stream
        self._kept: list[Any] = []
        self._bytes = 0
        self._numbers: list[int] = []
        self._proof: Proof | None = None
        self._unprobed = codec in _UNPROBED and form in (MP4, _MATROSKA, "avi")
        self.why_not = ""
        try:
            self._proof = _proof(container, stream)
        except (NotProven, ValueError) as error:
            self.why_not = str(error)

    def see(self, packet: Any) -> None:
        """To be called with every packet of every stream, in the order of the file."""
        if packet.stream is not self._stream or not (self._unprobed or not self.why_not):
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
        odd = any(data.data_type in _ODD for data in packet.iter_sidedata())
        require(not odd, "parameters change")
        self._bytes += packet.size
        require(self._bytes <= _HELD, "packets of more than 32 MiB")
        self._kept.append(packet)

    def give_up(self, why: str) -> None:
        """Prove nothing, and keep no packets."""
        self.why_not = self.why_not or why
        self._unprobed = False
        self._kept.clear()
        self._numbers = []

    def end(self, packets: int) -> None:
        """To be called after the last packet.

        Args:
            packets: how many were announced; 0 where the file is cut off or damaged.
        """
        if packets != len(self._kept) or not packets:
            self.give_up("the file is cut off or damaged")
        if self.why_not or self._proof is None:
            return
        try:
            self._numbers = self._proof.numbers(self._kept)
        except (NotProven, ValueError) as error:
            self.why_not = str(error)
            if not self._unprobed:
                self.give_up(self.why_not)

    def every(self) -> list[Any] | None:
        """All packets, where nothing is proven and the decoder needs no probing; once."""
        packets = list(self._kept) if self.why_not and self._unprobed else None
        self.give_up(self.why_not)
        return packets

    @property
    def frames(self) -> int:
        """How many frames there are; 0 where it is not proven."""
        return len(self._numbers)

    @property
    def options(self) -> Mapping[str, str]:
        """Of FFmpeg's decoder, for the packets of `needed`."""
        return {} if self._proof is None else self._proof.options

    def needed(self, wanted: Set[int]) -> list[Any] | None:
        """The packets that are to be decoded, in order, so that frames of these numbers come out.

        Their time stamps are changed to the numbers of the frames that they become. The first one
        is among them: the first frame tells the size and rotation, and encoders put there what they
        are called, which decoders look at.

        Returns:
            None where a packet that could be left out is damaged for all to see.
        """
        if self.why_not or self._proof is None:
            return None
        try:
            taken = self._taken(self._proof, wanted)
        except (NotProven, ValueError) as error:
            self.give_up(str(error))
            return None
        packets = []
        for k in taken:
            packet = self._proof.packet(k)
            packet.pts = self._numbers[k]
            packets.append(packet)
        return packets

    def _taken(self, proof: Proof, wanted: Set[int]) -> Sequence[int]:
        """Places of the pictures that are to be decoded."""
        count = len(self._numbers)
        if len(wanted) == count:
            return range(count)
        needs = proof.needs()
        taken = [number in wanted for number in self._numbers]
        taken[0] = True
        for k in reversed(range(count)):
            if taken[k]:
                for place in needs[k]:
                    taken[place] = True
            elif not proof.may_be_left_out(k):
                taken[k] = True
                for place in needs[k]:
                    taken[place] = True
        return [k for k in range(count) if taken[k]]


def _proof(container: Any, stream: Any) -> Proof:
    codec, form = stream.codec_context.name, container.format.name
    require(codec in _FORMATS, f"codec {codec}")
    require(form in _FORMATS[codec], f"container {form}")
    return Mpeg4(stream) if codec == "mpeg4" else H264(container, stream)
