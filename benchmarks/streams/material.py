"""Videos for measurements of streams: a piece that is encoded once, and sent or written again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np

_SQUARE = 4
"""The moving square has a quarter of the frame's shorter side."""


def write_piece(target: Path, *, seconds: int, rate: int, size: tuple[int, int]) -> None:
    """Write a video of a square that moves over noise, with a key frame each second.

    Args:
        target: a Matroska file, which is replaced.
        seconds: how long it is.
        rate: frames a second.
        size: width and height, in even numbers of pixels.
    """
    width, height = size
    noise = np.random.default_rng(0).integers(40, 90, (height, width, 3), np.uint8)
    side = min(size) // _SQUARE
    with av.open(str(target), "w", format="matroska") as out:
        stream = out.add_stream("libx264", rate=rate, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.gop_size = rate
        stream.codec_context.max_b_frames = 0
        stream.codec_context.thread_count = 1
        for number in range(seconds * rate):
            picture = noise.copy()
            left = number * side // rate % (width - side)
            top = (height - side) * (number // rate % 4) // 4
            picture[top : top + side, left : left + side] = (230, 200, 60)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        out.mux(stream.encode())


def write_long(piece: Path, target: Path, *, seconds: float) -> None:
    """Write a long video whose packets are those of a piece, again and again.

    Args:
        piece: a video without pictures that need later ones.
        target: the file, which is replaced; its suffix says the format.
        seconds: how long it is, to a frame.
    """
    with av.open(str(piece)) as source, av.open(str(target), "w") as out:
        stream = source.streams.video[0]
        copy = out.add_stream_from_template(stream)
        for packet in repeated(source, stream):
            if packet.pts * packet.time_base >= seconds:
                return
            packet.stream = copy
            out.mux(packet)


def repeated(container: Any, stream: Any) -> Iterator[Any]:
    """The packets of a video without end, with time stamps that go on from 0.

    Args:
        container: of PyAV, open for reading.
        stream: of the container; no picture of it needs a later one.
    """
    step = round(1 / (stream.average_rate * stream.time_base))
    begin = 0
    while True:
        end = begin
        for packet in container.demux(stream):
            if packet.pts is None:  # the last one of the demuxer, which is empty
                continue
            packet.pts += begin
            packet.dts = packet.pts
            end = packet.pts + step
            yield packet
        begin = end
        container.seek(0)
