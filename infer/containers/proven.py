"""Which packets of a video need not be decoded for which frames: only where the packets prove it.

The packets of the file are whole, and are not marked as damaged or to be discarded. For each codec
a `Proof` says which frame a picture becomes and which others it needs, and raises NotProven where
something is not followed. Then all packets are decoded; those of a codec whose decoder learns
nothing from FFmpeg's probing of a file are decoded as they were read, so that it is read once. Of
packets that take more than 32 MiB only what their headers say is kept, and those that are to be
decoded are read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Protocol

from .bits import NotProven, require
from .formats import MP4
from .h264.order import H264
from .mpeg4.pictures import Mpeg4

_HELD = 1 << 25
"""Bytes of packets that are kept in memory between the look at them and decoding."""
_MOST = 1 << 19
"""Packets at most, so that memory stays small: 5.8 hours at 25 a second."""
_MATROSKA = "matroska,webm"
_FORMATS = {
    "h264": (MP4, _MATROSKA),
    "mpeg4": (MP4, _MATROSKA, "avi"),
}
_UNPROBED = frozenset(("mpeg4", "vp8", "vp9", "libdav1d", "av1", "mjpeg", "prores", "hevc"))
"""Codecs whose packets decode alike without it. H.264 learns how far pictures are reordered."""
_CHANGED = "the file has changed"
_ODD = ("new_extradata", "param_change", "skip_samples")
"""Kinds of data beside a packet that change what decoding does."""


class Proof(Protocol):
    """What the pictures of a stream need. Pictures are counted in the order of decoding."""

    @property
    def options(self) -> Mapping[str, str]:
        """Of FFmpeg's decoder, for pictures of which others are left out; behind `numbers`."""

    def headers(self) -> Any:
        """A list that keeps of packets what the other methods need, not all. Raises NotProven."""

    def numbers(self, packets: Sequence[Any]) -> Sequence[int]:
        """As which frame each picture is shown. Raises NotProven."""

    def needs(self) -> list[tuple[int, ...]]:
        """Places of the pictures that each one needs. Raises NotProven."""

    def may_be_left_out(self, place: int) -> bool:
        """Whether a picture that nobody needs need not be decoded. Raises NotProven."""

    def packet(self, place: int) -> Any:
        """What the decoder gets for a picture."""


@dataclass(frozen=True)
class Selected:
    """The packets that are to be decoded.

    Attributes:
        frames: numbers of the frames that the packets become, in the order of the packets.
        packets: in order, with these numbers as time stamps; once. Reading them on may raise
            NotProven, where the file has changed.
    """

    frames: list[int]
    packets: Iterable[Any]


class Packets:
    """The packets of a video stream, as they are demuxed, until something is not proven.

    Attributes:
        why_not: what speaks against it, as a few words; "" while nothing does.
        frames: how many there are; 0 where it is not proven.
    """

    def __init__(self, container: Any, stream: Any, *, every_frame: bool = False) -> None:
        """`every_frame`: all are decoded, so that headers of a large file need not be kept."""
        codec, form = stream.codec_context.name, container.format.name
        self._stream = stream
        self._kept: Any = []
        self._bytes = 0
        self._every_frame = every_frame
        self._headers_only = False
        self._numbers: Sequence[int] = ()
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
        if _is_end(packet):
            return
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
        if self._bytes > _HELD and not self._headers_only:
            if self.why_not or self._proof is None or self._every_frame:
                raise NotProven("packets of more than 32 MiB")
            held, self._kept = self._kept, self._proof.headers()
            self._headers_only = True
            for one in held:
                self._kept.append(one)
        require(len(self._kept) < _MOST, f"more than {_MOST:,} packets")
        self._kept.append(packet)

    def give_up(self, why: str) -> None:
        """Prove nothing, and keep no packets."""
        self.why_not = self.why_not or why
        self._unprobed = False
        self._proof = None
        self._kept = []
        self._numbers = ()

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

    def needed(self, wanted: Set[int], reopen: Callable[[], tuple[Any, Any]]) -> Selected | None:
        """The packets that are to be decoded so that frames of these numbers come out.

        The first one is among them: the first frame tells the size and rotation, and encoders put
        there what they are called, which decoders look at.

        Args:
            wanted: numbers of frames.
            reopen: opens the file once more, where packets are not kept; container and stream.

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
        frames = [self._numbers[k] for k in taken]
        if not self._headers_only:
            held = [self._proof.packet(k) for k in taken]
            for packet, number in zip(held, frames, strict=True):
                packet.pts = number
            return Selected(frames, held)
        return Selected(frames, self._read_again(taken, reopen))

    def _read_again(
        self, taken: Sequence[int], reopen: Callable[[], tuple[Any, Any]]
    ) -> Iterator[Any]:
        """The packets at these places. Raises NotProven where they are others than before."""
        container, stream = reopen()
        with container:
            parameters = [one.codec_context.extradata for one in (stream, self._stream)]
            require(parameters[0] == parameters[1], _CHANGED)
            places = iter(taken)
            place = next(places, None)
            for k, packet in enumerate(one for one in container.demux(stream) if not _is_end(one)):
                if place is None:
                    return
                if k == place:
                    before = self._kept[k]
                    require((packet.pts, packet.size) == (before.pts, before.size), _CHANGED)
                    packet.pts = self._numbers[k]
                    yield packet
                    place = next(places, None)
            require(place is None, _CHANGED)

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


def _is_end(packet: Any) -> bool:
    """Of what is demuxed the last one, which is empty."""
    return not packet.size and packet.dts is None


def _proof(container: Any, stream: Any) -> Proof:
    codec, form = stream.codec_context.name, container.format.name
    require(codec in _FORMATS, f"codec {codec}")
    require(form in _FORMATS[codec], f"container {form}")
    return Mpeg4(stream) if codec == "mpeg4" else H264(container, stream)
