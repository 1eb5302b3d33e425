"""Frames encoded as H.264 and decoded again, in memory."""

from __future__ import annotations

from fractions import Fraction

import av
import numpy as np

from benchmarks.common.errors import BenchmarkError
from infer.clips.decode import Frames

MOST_ENCODINGS = 10
RATES = (1, 240)  # frames per second; what a header says may be anything
OPTIONS = {"bf": "0", "x264-params": "cpu-independent=1"}
"""What makes an encoding the same everywhere: x264 takes no other way on another processor."""


def recompressed(frames: Frames, *, crf: int, fps: float) -> Frames:
    """The frames as they come back from H.264.

    The encoder has one thread and no B-frames, so that every encoding is the same.

    Args:
        frames: uint8 [n, H, W, 3] RGB, at least one.
        crf: constant rate factor of x264, 0 (lossless) to 51.
        fps: frames per second.

    Returns:
        uint8 [n, H, W, 3] RGB: as many, as large, 4:2:0.

    Raises:
        av.FFmpegError: the encoder takes no frames of that size.
        BenchmarkError: the encoder made another stream every time, or lost frames.
    """
    height, width = frames.shape[1:3]
    # 4:2:0 has a colour for 2 x 2 pixels: an odd side gets its last row or column twice.
    even = np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
    rate = Fraction(min(max(fps, RATES[0]), RATES[1])).limit_denominator(1001)
    # Once in some thousand clips x264 decides by memory that it has not initialised: an encoding
    # counts when a second one is the same.
    seen: set[bytes] = set()
    for _ in range(MOST_ENCODINGS):
        packets = _encoded(even, crf, rate)
        stream = b"".join(bytes(packet) for packet in packets)
        if stream in seen:
            decoded = _decoded(packets)
            if len(decoded) != len(frames):
                raise BenchmarkError(f"H.264 gave back {len(decoded)} of {len(frames)} frames")
            return np.ascontiguousarray(decoded[:, :height, :width])
        seen.add(stream)
    raise BenchmarkError(f"x264 made {len(seen)} different streams of the same frames")


def _encoded(frames: Frames, crf: int, rate: Fraction) -> list[av.Packet]:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, av.VideoCodecContext)
    encoder.height, encoder.width = frames.shape[1:3]
    encoder.pix_fmt, encoder.framerate, encoder.time_base = "yuv420p", rate, 1 / rate
    encoder.thread_count = 1  # the stream depends on the number of threads
    encoder.options = {"crf": str(crf), **OPTIONS}
    packets: list[av.Packet] = []
    for number, frame in enumerate(frames):
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        picture = picture.reformat(format="yuv420p", threads=1)
        picture.pts = number
        packets += encoder.encode(picture)
    return packets + encoder.encode(None)


def _decoded(packets: list[av.Packet]) -> Frames:
    decoder = av.CodecContext.create("h264", "r")
    assert isinstance(decoder, av.VideoCodecContext)
    decoder.thread_count = 1
    return np.stack(
        [
            frame.to_ndarray(format="rgb24", threads=1)
            for packet in [*packets, None]
            for frame in decoder.decode(packet)
        ]
    )
