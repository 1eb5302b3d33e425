"""What a video file announces: its size, its packets and their time stamps, before it is decoded.

No decoder is opened for it, so that a small file with enormous frames costs nothing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av

from ..system.errors import VideoError
from .damage import LastPackets
from .formats import limit_frames, open_video
from .limits import Limits
from .mp4_tables import check_tables

_PROBED = 1 << 23
"""Bytes of packets that may go by before a first frame decodes."""


@dataclass(frozen=True)
class Announced:
    """What is known of a file without decoding it.

    Attributes:
        header: frames the header claims, None if it does not say.
        packets: frames to expect, packets that will be shown.
        lost: what shows that the file's end is missing, or "".
        broken: whether an error ended the reading of packets.
    """

    header: int | None
    packets: int
    lost: str
    broken: bool


def announced(
    path: Path,
    container: Any,
    stream: Any,
    limits: Limits,
    *,
    see: Callable[[Any], None] | None = None,
) -> Announced:
    """Look at all packets of a file.

    Counting them takes a moment; decoding a file twice because its header counts others takes much
    longer.

    Args:
        path: the file.
        container: of `open_unprobed`, not read yet.
        stream: of it.
        limits: how large the video may be.
        see: called with every packet.

    Raises:
        VideoError: the video is larger than allowed.
    """
    sizes = [_size(other) for other in _videos(container)]
    for width, height in sizes:
        limits.check_size(path, width, height)
    packets, most, index = 0, limits.frames, stream.index
    ends = LastPackets(stream)
    broken = True
    with contextlib.suppress(av.FFmpegError, OSError):
        for packet in container.demux():
            ends.see(packet)
            if packet.stream_index == index:
                packets += bool(packet.size) and not packet.is_discard
                if packets > most:
                    limits.check_frames(path, packets)
            if see is not None:
                see(packet)
        broken = False
    limits.check_seconds(path, ends.seconds)
    header = max(int(stream.frames), 0) or None
    found = Announced(header, packets, ends.lost(path, container), broken)
    if (0, 0) in sizes:
        _check_first_frames(path, limits, found.lost)
    return found


def open_unprobed(path: Path, limits: Limits) -> tuple[Any, Any]:
    """Container and stream, as `open_video` gives them, before anything is decoded.

    Raises:
        VideoError: there is no video, or one that is larger than allowed.
    """
    check_tables(path)
    return open_video(path, limits, probe=False)


def too_large(error: Exception, stream: Any, limits: Limits) -> bool:
    """Whether a decoder failed because of a frame above the limit, as far as it tells."""
    width, height = _size(stream)
    if width * height > limits.pixels:
        return True
    # FFmpeg's own decoders forget the size that they refuse; dav1d names the range.
    forgot = isinstance(error, av.ArgumentError) and not width * height
    return forgot or isinstance(error, av.OverflowError)


def _size(stream: Any) -> tuple[int, int]:
    return stream.codec_context.width, stream.codec_context.height


def _videos(container: Any) -> list[Any]:
    """The streams that FFmpeg decodes to probe a file. It limits cover pictures."""
    cover = av.stream.Disposition.attached_pic
    streams = container.streams.video
    return [s for s in streams if s.codec_context is not None and not s.disposition & cover]


def _check_first_frames(path: Path, limits: Limits, lost: str) -> None:
    """Check the size of the first frames of FLV and MPEG-PS, whose headers do not give it.

    FFmpeg would probe them without a limit.
    """
    container, _ = open_video(path, limits, probe=False)
    with container:
        open_ones = {s.index: s for s in _videos(container) if _size(s) == (0, 0)}
        for stream in open_ones.values():
            limit_frames(stream, limits)
        seen = 0
        with contextlib.suppress(av.FFmpegError, OSError):
            for packet in container.demux(*open_ones.values()):
                seen += packet.size
                stream = open_ones.get(packet.stream_index)
                if stream is None:
                    continue
                try:
                    for frame in packet.decode():
                        limits.check_size(path, frame.width, frame.height)
                        open_ones.pop(stream.index, None)
                except (av.FFmpegError, OSError) as error:
                    if too_large(error, stream, limits):
                        # Of a frame that lacks its end the decoder says the same.
                        why = "its frames have more pixels than allowed: "
                        if lost:
                            raise VideoError(path, lost) from None
                        allowed = limits.allowed("pixels")
                        raise VideoError(path, why + allowed, "limit") from None
                if not open_ones or seen > _PROBED:
                    return
