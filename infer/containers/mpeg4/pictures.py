"""Pictures (VOPs) of MPEG-4 part 2: which others they need, and as which frames FFmpeg shows them.

No picture refers to a B-VOP. A damaged picture is shown where its header is right, so that it is
left out safely. Files of DivX and Xvid may pack a B-VOP into the packet before its own, which then
holds a placeholder; FFmpeg keeps the B-VOP until then, and so do `Mpeg4.numbers`.

Names are those of the standard (ISO/IEC 14496-2, 6.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import av

from ..bits import NotProven, require
from .encoders import Encoder, encoder_of
from .headers import (
    B_VOP,
    GROUP,
    I_VOP,
    LAYERS,
    P_VOP,
    RARE,
    SEQUENCE,
    START,
    USER_DATA,
    VOP,
    Clock,
    Layer,
    is_coded,
    kind_of,
    layer_of,
    units,
)

_PLACEHOLDER = 19
"""Bytes that a packet has at most which stands for a packed picture."""
_TAGS = frozenset(("xvid", "divx", "dx50", "fmp4", "mp4v", "\0\0\0\0"))
_PACKING = "packed B-frames that do not follow one another"


class Mpeg4:
    """Follows the pictures of a stream; `infer.containers.proven.Proof`."""

    def __init__(self, stream: Any) -> None:
        tag = stream.codec_context.codec_tag
        require(tag.lower() in _TAGS, f"codec tag {tag}")
        self._known: set[bytes] = set()
        self._layer: Layer | None = None
        extradata = bytes(stream.codec_context.extradata or b"")
        for code, begin, end in units(extradata):
            if code != VOP:
                self._learn(code, extradata[begin:end])
        self._encoder = Encoder("", packs=False, skips=False)  # until the first packet says it
        self._data: list[Any] = []
        self._kinds = bytearray()
        self._forced: set[int] = set()
        self._clock = Clock()

    def _learn(self, code: int, unit: bytes) -> None:
        if code in LAYERS:
            layer = layer_of(unit)
            require(self._layer in (None, layer), "parameters change")
            self._layer = layer
        self._known.add(unit)

    @property
    def options(self) -> Mapping[str, str]:
        """Of FFmpeg's decoder: which bugs of the encoder to work around."""
        return {"bug": self._encoder.bugs}

    def headers(self) -> Any:
        """Raises NotProven: a packed picture is not a packet of the file."""
        raise NotProven("packets of more than 32 MiB")

    def numbers(self, packets: Sequence[Any]) -> list[int]:
        """As which frame each picture is shown, in the order of decoding. Raises NotProven."""
        waiting: bytes | None = None  # a packed picture
        for k, packet in enumerate(packets):
            data = bytes(packet)
            if len(data) == 1 and (waiting or self._encoder.skips):
                vops: list[bytes] = []  # a placeholder
            else:
                vops = self._vops(data, first=k == 0, waits=waiting is not None)
            if waiting is None:
                require(len(vops) <= 1 + self._encoder.packs, _PACKING)
                if len(vops) == 2:
                    self._forced.add(len(self._data))
                    # Some encoders end a picture so that a decoder reads on into what follows.
                    self._take(vops[0] + START + bytes((VOP,)), vops[0])
                elif vops:
                    self._take(packet, vops[0])
                waiting = vops[1] if len(vops) == 2 else None
                require(waiting is None or kind_of(waiting) == B_VOP, _PACKING)
                continue
            require(len(vops) <= 1, _PACKING)
            self._take(waiting, waiting)
            if vops and kind_of(vops[0]) == B_VOP:
                waiting = vops[0]
            else:
                empty = not vops or (
                    len(data) <= _PLACEHOLDER and not is_coded(vops[0], self._need())
                )
                require(empty, _PACKING)
                waiting = None
        return self._shown()  # FFmpeg does not decode a last packed picture that nothing follows

    def needs(self) -> list[tuple[int, ...]]:
        """Places of the pictures that each one needs."""
        found: list[tuple[int, ...]] = []
        anchors = (-1, -1)
        for k, kind in enumerate(self._kinds):
            found.append({I_VOP: (), P_VOP: anchors[1:], B_VOP: anchors}[kind])
            if kind != B_VOP:
                anchors = anchors[1], k
        return found

    def may_be_left_out(self, place: int) -> bool:
        """Whether nothing but the picture itself suffers if it is damaged."""
        # An error before a packed picture may make FFmpeg lose that one too.
        return place not in self._forced

    def packet(self, place: int) -> Any:
        """What the decoder gets."""
        data = self._data[place]
        return av.Packet(data) if isinstance(data, bytes) else data

    def _need(self) -> Layer:
        if self._layer is None:
            raise NotProven("no video object layer")
        return self._layer

    def _vops(self, data: bytes, *, first: bool, waits: bool) -> list[bytes]:
        """The pictures of a packet; checks what stands before, between and behind them."""
        vops: list[bytes] = []
        groups = layers = 0
        before = 0
        for code, begin, end in units(data):
            if code == VOP:
                vops.append(data[before if not vops else begin : end])
                continue
            unit = data[begin:end]
            require(not vops, RARE)
            require(code != SEQUENCE or not waits, _PACKING)
            if code == GROUP:
                groups += 1
                self._clock.group(unit)
            else:
                layers += code in LAYERS
                if first:
                    self._learn(code, unit)
                require(unit in self._known, "parameters change")
        require(len(vops) > 0 and max(groups, layers) <= 1 and data.startswith(START), RARE)
        if first:
            self._encoder = encoder_of(unit[4:] for unit in self._known if unit[3] == USER_DATA)
        if groups and kind_of(vops[0]) != I_VOP:
            raise NotProven(RARE)
        return vops

    def _take(self, data: Any, vop: bytes) -> None:
        kind = kind_of(vop)
        self._clock.picture(
            vop, self._need(), kind, anchors=len(self._kinds) - self._kinds.count(B_VOP)
        )
        self._kinds.append(kind)
        self._data.append(data)

    def _shown(self) -> list[int]:
        low_delay = self._need().low_delay
        # Where it is not declared FFmpeg changes its mind at the first B-VOP.
        require(low_delay is False or B_VOP not in self._kinds, "B-frames that are not declared")
        order: list[int] = []
        held: int | None = None
        for k, kind in enumerate(self._kinds):
            if kind == B_VOP:
                order.append(k)
                continue
            if held is not None:
                order.append(held)
            held = k
        if held is not None:
            order.append(held)
        numbers = [0] * len(order)
        for number, k in enumerate(order):
            numbers[k] = number
        return numbers
