"""What a decoder makes of packets, in order: frames, and errors in the places of what is broken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import av

from ..containers.announced import too_large
from ..containers.limits import Limits


def frames_or_errors(
    container: Any, stream: Any, *, see: Callable[[Any], None] | None = None
) -> Iterator[Any]:
    """Frames in order; an exception stands for a place where the bitstream is broken.

    Args:
        container: of PyAV, open.
        stream: its video stream.
        see: called with every packet of every stream.
    """
    packets = container.demux(stream) if see is None else container.demux()
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, OSError) as error:
            yield error
            break
        if see is not None:
            see(packet)
            if packet.stream.index != stream.index:  # `stream_index` is 0 in an empty packet
                continue
        yield from _decoded(stream, packet)
    yield from _decoded(stream, None)  # the file broke off: what the decoder still holds


def frames_of(packets: Sequence[Any], stream: Any) -> Iterator[Any]:
    """The same of packets that were read already."""
    for packet in packets:
        yield from _decoded(stream, packet)
    yield from _decoded(stream, None)


def _decoded(stream: Any, packet: Any) -> Iterator[Any]:
    if packet is not None and packet.is_corrupt:  # the file ends in it, or its container says so
        yield _Corrupt()
    try:
        yield from stream.codec_context.decode(packet)
    except (av.FFmpegError, OSError) as error:
        yield error


class _Corrupt(Exception):
    """A packet that its container calls corrupt."""


def is_too_large(frame: Any, stream: Any, limits: Limits) -> bool:
    """Whether what `frames_or_errors` gave is a frame above the limit, or stands for one."""
    if isinstance(frame, Exception):
        return too_large(frame, stream, limits)
    return bool(frame.width * frame.height > limits.pixels)
