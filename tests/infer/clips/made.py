"""Video files of many encoders and their settings, made in tests."""

from __future__ import annotations

import contextlib
import random
import re
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import av
import numpy as np

from infer.clips.decode import each_frame, read_video
from infer.containers.bits import NotProven
from infer.containers.h264.sets import parameter_sets


class Made(NamedTuple):
    """How a file is made, and whether less than all of it is decoded for a few of its frames."""

    name: str
    codec: str
    options: Mapping[str, str] = MappingProxyType({})
    less: bool = False
    pixels: str = "yuv420p"
    uneven: bool = False
    undeclared: bool = False
    """Without a word in its parameters about how far pictures are reordered."""
    packed: bool = False
    """B-frames of MPEG-4 lie in packets before their own, as DivX and Xvid pack them."""
    encoder: bytes = b""
    """What the encoder of MPEG-4 calls itself instead."""


_B = {"bf": "3", "preset": "fast"}
_TINY = {"preset": "ultrafast"}
_EIGHT = "bframes=8:b-adapt=0"
_PIECES = {"movflags": "frag_keyframe+empty_moov"}
_RATE = "vbv-maxrate=400:vbv-bufsize=400"
X264 = [
    Made("closed.mp4", "libx264", {**_B, "g": "12"}, True),
    Made("closed.mkv", "libx264", {**_B, "g": "12"}, True),
    Made("long.mp4", "libx264", {**_B, "g": "250"}, True),
    Made("long.mov", "libx264", {**_B, "g": "250", "x264-params": _EIGHT}, True),
    Made("open.mp4", "libx264", {**_B, "g": "10", "x264-params": "open-gop=1"}, True),
    Made("open.mkv", "libx264", {**_B, "g": "10", "x264-params": "open-gop=1"}, True),
    Made("pyramid.mp4", "libx264", {**_B, "x264-params": "b-pyramid=strict:bframes=5"}, True),
    Made("flat.mp4", "libx264", {**_B, "x264-params": "b-pyramid=none:weightb=0"}, True),
    Made("weights.mp4", "libx264", {**_B, "x264-params": "weightp=2:ref=6:keyint=20"}, True),
    Made("slices.mp4", "libx264", {**_B, "x264-params": "slices=3"}, True),
    Made("vlc.mp4", "libx264", {**_B, "x264-params": "cabac=0:no-deblock=1"}),
    Made("refresh.mp4", "libx264", {**_B, "x264-params": "intra-refresh=1:keyint=12"}, True),
    Made("rate.mp4", "libx264", {**_B, "x264-params": f"aud=1:nal-hrd=vbr:{_RATE}"}, True),
    Made("deep.mp4", "libx264", _B, True, "yuv420p10le"),
    Made("full.mp4", "libx264", _B, True, "yuv444p"),
    Made("uneven.mp4", "libx264", _B, True, uneven=True),
    Made("uneven.mkv", "libx264", _B, True, uneven=True),
    Made("pieces.mp4", "libx264", {**_B, **_PIECES, "g": "12"}, True),
    Made("silent.mp4", "libx264", {**_B, "g": "12"}, True, undeclared=True),
    Made("silent.mov", "libx264", {**_B, "x264-params": _EIGHT}, True, undeclared=True),
    Made("silent_p.mp4", "libx264", {"bf": "0", "g": "12"}, True, undeclared=True),
    Made("silent.mkv", "libx264", {**_B, "g": "12"}, undeclared=True),
    Made("silent_pieces.mp4", "libx264", {**_B, **_PIECES}, undeclared=True),
    Made("p.mp4", "libx264", {"bf": "0", "g": "12"}, True),
    Made("p.mkv", "libx264", {"bf": "0", "g": "12", **_TINY}),
    Made("intra.mp4", "libx264", {"g": "1"}, True),
    Made("fields.mp4", "libx264", {**_B, "x264-params": "tff=1"}),
    Made("a.ts", "libx264", _B),
    Made("a.flv", "libx264", _B),
    Made("a.avi", "libx264", {"bf": "0"}),
]  # fmt: skip
MPEG4 = [
    Made("b.mp4", "mpeg4", {"bf": "2", "g": "12"}, True),
    Made("b.avi", "mpeg4", {"bf": "2", "g": "12"}, True),
    Made(
        "b.mkv",
        "mpeg4",
        {"bf": "2", "g": "12", "flags": "+cgop", "sc_threshold": "1000000000"},
        True,
    ),
    Made("p.avi", "mpeg4", {"g": "9"}, True),
    Made("quarter.mp4", "mpeg4", {"bf": "1", "g": "30", "flags": "+qpel"}, True, uneven=True),
    Made("packed.avi", "mpeg4", {"bf": "2", "g": "12"}, True, packed=True),
    Made("packed_1.avi", "mpeg4", {"bf": "1", "g": "8"}, True, packed=True),
    Made("packed_q.avi", "mpeg4", {"bf": "2", "g": "12", "flags": "+qpel"}, True, packed=True),
    Made("packed_x.avi", "mpeg4", {"bf": "2"}, True, packed=True, encoder=b"XviD0055"),
    Made("xvid.avi", "mpeg4", {"bf": "2", "g": "12"}, True, encoder=b"XviD0050"),
    Made("edges.avi", "mpeg4", {"bf": "2", "g": "12"}, True, encoder=b"Lavc56.60.100"),
    Made("edges_not.avi", "mpeg4", {"bf": "2", "g": "12"}, True, encoder=b"Lavc57.64.101"),
    Made("old.avi", "mpeg4", {"g": "12"}, encoder=b"XviD0012"),
    Made("nameless.avi", "mpeg4", {"flags": "+bitexact"}),
    Made("fields.avi", "mpeg4", {"bf": "2", "flags": "+ildct+ilme"}),
    Made("parts.mp4", "mpeg4", {"data_partitioning": "1"}),
]
OTHERS = [
    Made("open.mp4", "libx265", {"x265-params": "open-gop=1:keyint=12:log-level=none", **_TINY}),
    Made("closed.mkv", "libx265", {"x265-params": "open-gop=0:log-level=none", **_TINY}),
    Made("vp8.webm", "libvpx", {"deadline": "realtime", "cpu-used": "8", "auto-alt-ref": "1"}),
    Made("vp9.webm", "libvpx-vp9", {"deadline": "realtime", "cpu-used": "8", "g": "12"}),
    Made("av1.mkv", "libsvtav1", {"preset": "12", "svtav1-params": "lp=1"}),
    Made("b.mpg", "mpeg2video", {"bf": "2", "g": "12"}),
    Made("pictures.avi", "mjpeg", pixels="yuvj420p"),
    Made("pictures.mov", "prores_ks", pixels="yuv422p10le"),
]
EVERY = [*X264, *MPEG4, *OTHERS]
LESS = [made for made in EVERY if made.less]


def named(name: str) -> Made:
    """The first of that name."""
    return next(made for made in EVERY if made.name == name)


def picture_packets(path: Path) -> list[av.Packet]:
    """The packets of a video's pictures, in the order of the file."""
    with av.open(str(path)) as container:
        return [packet for packet in container.demux(video=0) if packet.size]


def make(folder: Path, made: Made, frames: int = 30, seed: int = 0) -> Path:
    """Write a file: a bright square moves over noise.

    Raises:
        av.FFmpegError: there is no such encoder here.
    """
    path = folder / f"{made.codec}-{made.name}"
    rng = np.random.default_rng(seed)
    back = rng.integers(0, 120, (64, 64, 3), dtype=np.uint8)
    muxing = {k: v for k, v in made.options.items() if k == "movflags"}
    coding = {k: v for k, v in made.options.items() if k != "movflags"}
    with av.open(str(path), "w", options=muxing) as container:
        stream = container.add_stream(made.codec, rate=Fraction(25), options=coding)
        stream.width = stream.height = 64
        stream.pix_fmt = made.pixels
        stream.codec_context.thread_count = 1
        if made.uneven:
            stream.codec_context.time_base = Fraction(1, 1000)
        time = 0
        for k in range(frames):
            picture = np.roll(back, 2 * k, axis=1)
            picture[8 + k % 20 : 28 + k % 20, 2 * k % 40 : 2 * k % 40 + 20] = (250, 3 * k % 250, 90)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            if made.uneven:
                time += int(rng.integers(5, 90))
                frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    if made.undeclared:
        leave_undeclared(path)
    if made.packed:
        pack(path)
    if made.encoder:
        name = re.compile(rb"Lavc[\d.]+")
        path.write_bytes(name.sub(lambda m: made.encoder.ljust(len(m[0])), path.read_bytes()))
    return path


def pack(path: Path) -> None:
    """Put the first of several B-frames of MPEG-4 into the packet before it."""
    vop = b"\0\0\1\xb6"
    pictures = [bytes(packet) for packet in picture_packets(path)]
    first = pictures[0]
    at = first.index(b"\0\0\1", first.index(b"\0\0\1\xb2Lavc") + 4)
    pictures[0] = first[:at] + b"\0\0\1\xb2DivX503b1393p" + first[at:]
    packets: list[bytes] = []
    waits = False
    for k, picture in enumerate(pictures):
        kind = picture[picture.index(vop) + 4] >> 6
        following = pictures[k + 1] if k + 1 < len(pictures) else first
        before_b = following[following.index(vop) + 4] >> 6 == 2
        if kind == 2 and not waits:
            continue
        if kind == 2:
            packets.append(picture if before_b else vop + b"\x50\x01\x7f")
            waits = before_b
        else:
            packets.append(picture + (following if before_b else b""))
            waits = before_b
    with av.open(str(path)) as source:
        template = source.streams.video[0]
        with av.open(str(path.with_suffix(".new.avi")), "w") as target:
            stream = target.add_stream_from_template(template)
            for k, data in enumerate(packets):
                packet = av.Packet(data)
                packet.stream = stream
                packet.pts = packet.dts = k
                packet.time_base = template.time_base
                packet.is_keyframe = k == 0
                target.mux(packet)
    path.with_suffix(".new.avi").replace(path)


def leave_undeclared(path: Path) -> None:
    """Cut the restrictions off, with which the sequence parameters of H.264 end."""
    with av.open(str(path)) as container:
        extradata = container.streams.video[0].codec_context.extradata
    assert extradata is not None
    size = int.from_bytes(extradata[6:8], "big")
    unit = extradata[8 : 8 + size]
    declared = parameter_sets(extradata).sequence
    assert declared.reorder is not None
    digits = bin(int.from_bytes(b"\1" + unit.replace(b"\0\0\3", b"\0\0"), "big"))[3:]
    for end in reversed(range(8, len(digits) - 8)):
        # No restrictions, the mark of the end, and zeros as far as they went.
        shorter = (digits[:end] + "01").ljust(8 * size, "0")
        without = extradata[:8] + int(shorter, 2).to_bytes(size, "big") + extradata[8 + size :]
        with contextlib.suppress(NotProven):
            if parameter_sets(without).sequence == replace(declared, reorder=None):
                break
    else:
        raise AssertionError("no such place")
    data = path.read_bytes()
    assert data.count(unit) == 1
    path.write_bytes(data.replace(unit, without[8 : 8 + size]))


def middle_of_a_b_frame(path: Path) -> int:
    """Where in the file the contents of its last picture lie that no other refers to."""
    spare = [p for p in picture_packets(path) if p.size > 60 and bytes(p)[4] & 0x60 == 0]
    assert spare[-1].pos is not None
    return spare[-1].pos + 40


def with_wrong_bits_in_a_b_frame(path: Path, copy: Path) -> None:
    """Write a copy in which full decoding finds damage that headers do not show."""
    at = middle_of_a_b_frame(path)
    for seed in range(30):
        data = bytearray(path.read_bytes())
        data[at : at + 12] = random.Random(seed).randbytes(12)
        copy.write_bytes(data)
        damaged = each_frame(copy, lambda frame: None).damaged
        if damaged and read_video(copy, lambda n: [0])[1].decoded is not None:
            return
    raise AssertionError("no damage that a decoder notices")
