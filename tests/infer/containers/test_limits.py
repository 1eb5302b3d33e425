"""Videos and pictures that unpack to more than is allowed are refused before they are decoded."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import zlib
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from infer.clips.decode import each_frame, read_video
from infer.clips.frames_folder import read_frames_folder
from infer.clips.preprocess import load_clips
from infer.clips.spec import ClipSpec
from infer.containers.limits import LIMITS, Limits
from infer.predict import main
from infer.system.errors import VideoError
from train.data.first_frame import check_first_frame

ROOT = Path(__file__).resolve().parents[3]


def gif_bomb(path: Path, width: int, height: int, frames: int = 1) -> Path:
    """A GIF of that size whose pictures are one pixel: 24 bytes a frame."""
    picture = b"\x2c" + bytes(4) + struct.pack("<HHB", 1, 1, 0) + b"\x02\x02\x44\x01\x00"
    control = b"\x21\xf9\x04\x00\x0a\x00\x00\x00"  # 0.1 seconds
    colours = b"\x00\x00\x00\xff\xff\xff"
    head = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + colours
    path.write_bytes(head + (control + picture) * frames + b";")
    return path


def black(side: int) -> av.VideoFrame:
    """A new frame of PyAV's holds whatever lay in memory."""
    return av.VideoFrame.from_ndarray(np.zeros((side * 3 // 2, side), np.uint8), format="yuv420p")


def packets(codec: str, side: int) -> list[bytes]:
    """Two frames of one colour."""
    encoder = av.CodecContext.create(codec, "w")
    encoder.width = encoder.height = side
    encoder.pix_fmt = "yuv420p"
    encoder.time_base, encoder.thread_count = Fraction(1, 10), 1
    if codec == "libx265":
        encoder.options = {"x265-params": "log-level=none:bframes=0"}
    picture = black(side)
    found = []
    for number in range(2):
        picture.pts = number
        found += encoder.encode(picture)
    return [bytes(packet) for packet in [*found, *encoder.encode(None)]]


def growing(path: Path, codec: str, sizes: list[int], declared: int | None = None) -> Path:
    """Squares that change their size, in a file that declares one (if not given: the first)."""
    data = [packet for size in sizes for packet in packets(codec, size)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=Fraction(10))
        stream.width = stream.height = declared or sizes[0]
        stream.pix_fmt = "yuv420p"
        if codec == "libx265":
            stream.options = {"x265-params": "log-level=none"}
        for number, one in enumerate(data):
            packet = av.Packet(one)
            packet.stream, packet.time_base = stream, Fraction(1, 10)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            container.mux(packet)
    return path


def reason(call, *args, **options) -> str:
    with pytest.raises(VideoError) as caught:
        call(*args, **options)
    return caught.value.reason


def all_of(frames: int) -> range:
    return range(frames)


def test_a_frame_of_a_gigabyte_is_refused_before_it_is_made(tmp_path):
    bomb = gif_bomb(tmp_path / "a.gif", 16_000, 16_000)
    assert bomb.stat().st_size < 100
    code = (
        "import sys; from infer.clips.decode import read_video; "
        "from infer.system.errors import VideoError; "
        "from infer.system.hardware import peak_bytes\n"
        "try: read_video(sys.argv[1], range); print('read')\n"
        "except VideoError as error: print(error.reason)\n"
        "print((peak_bytes() or 0) // 2**20)"
    )
    command = [sys.executable, "-c", code, str(bomb)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    why, megabytes = done.stdout.splitlines()
    assert "16000x16000" in why and "35,651,584" in why and "--max-pixels" in why
    assert int(megabytes) < 400, "MB at most"
    assert "16000x16000" in reason(check_first_frame, bomb)


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("a.mp4", "libx264"),
        ("a.ts", "libx264"),
        ("a.mkv", "libx264"),
        ("a.avi", "mpeg4"),
        ("a.webm", "libvpx-vp9"),
        ("a.webm", "libvpx"),
        ("a.flv", "libx264"),
        ("a.flv", "flv1"),
        ("a.mpg", "mpeg2video"),
    ],
)
def test_the_pixels_of_a_frame_are_limited(tmp_path, write_clip, name, codec):
    path = write_clip(tmp_path / name, np.zeros((4, 48, 64, 3), np.uint8), fps=25, codec=codec)
    _, info = read_video(path, all_of, limits=Limits(pixels=64 * 48))
    assert (info.frames, info.damaged) == (4, False)
    why = reason(read_video, path, all_of, limits=Limits(pixels=64 * 48 - 1))
    assert "at most 3,071 (--max-pixels" in why
    assert "64x48" in why and "3,072" in why


@pytest.mark.parametrize(
    ("name", "codec"),
    [("a.avi", "mpeg4"), ("a.webm", "libvpx"), ("a.webm", "libvpx-vp9"), ("a.ts", "libx265")],
)
@pytest.mark.parametrize("larger", [128, 1280])  # FFmpeg itself leaves some room
def test_frames_that_grow_above_the_limit_are_left_out_and_it_is_said(
    tmp_path, name, codec, larger
):
    path = growing(tmp_path / name, codec, [64, larger])
    _, info = read_video(path, all_of)
    assert (info.frames, info.damaged) == (4, False)
    frames, info = read_video(path, all_of, limits=Limits(pixels=64 * 64))
    assert len(frames) == info.frames and 1 <= info.frames <= 2 and info.damaged
    assert "4,096 pixels (--max-pixels" in info.lost


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "mpeg4"), ("a.webm", "libvpx")])
@pytest.mark.parametrize("side", [128, 1280])
def test_a_header_that_declares_smaller_frames_than_there_are(tmp_path, name, codec, side):
    path = growing(tmp_path / name, codec, [side], declared=32)
    why = reason(read_video, path, all_of, limits=Limits(pixels=64 * 64))
    assert "4,096" in why and "--max-pixels" in why


def test_the_largest_of_several_streams_counts(tmp_path):
    """FFmpeg decodes a frame of every stream to learn about it."""
    path = tmp_path / "a.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("mpeg4", rate=Fraction(10)) for _ in range(2)]
        for stream, size in zip(streams, (64, 256), strict=True):
            stream.width = stream.height = size
            stream.pix_fmt = "yuv420p"
        for stream, size in zip(streams, (64, 256), strict=True):
            container.mux(stream.encode(black(size)))
            container.mux(stream.encode())
    assert "256x256" in reason(read_video, path, all_of, limits=Limits(pixels=64 * 64))


@pytest.mark.parametrize("call", [read_video, each_frame])
def test_frames_seconds_and_bytes_are_limited(tmp_path, write_clip, call):
    path = write_clip(tmp_path / "a.mp4", np.zeros((6, 32, 32, 3), np.uint8), fps=10)
    size = path.stat().st_size
    use = all_of if call is read_video else lambda frame: None
    call(path, use, limits=Limits(frames=6, seconds=0.5, bytes=size))
    assert "at most 5 (--max-frames" in reason(call, path, use, limits=Limits(frames=5))
    assert "at most 0.4 (--max-seconds" in reason(call, path, use, limits=Limits(seconds=0.4))
    why = reason(call, path, use, limits=Limits(bytes=size - 1))
    assert f"at most {size - 1:,} (--max-bytes" in why and f"{size:,}" in why


def test_a_small_file_of_many_frames(tmp_path):
    path = gif_bomb(tmp_path / "a.gif", 16, 16, frames=5000)
    assert "at most 4,999 (--max-frames" in reason(
        read_video, path, lambda n: [0], limits=Limits(frames=4999)
    )


def png_bomb(width: int, height: int) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    rows = zlib.compress(bytes((width // 8 + 1) * 100), 1)  # the first hundred
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def jpeg_bomb(width: int, height: int) -> bytes:
    data = bytearray(cv2.imencode(".jpg", np.zeros((16, 16, 3), np.uint8))[1].tobytes())
    at = data.index(b"\xff\xc0") + 5
    assert struct.unpack_from(">HH", data, at) == (16, 16)
    struct.pack_into(">HH", data, at, height, width)
    # A comment that looks like the start of another frame.
    comment = b"\xff\xfe\x00\x0b\xff\xc0\x00\x11\x08\x00\x10\x00\x10"
    return bytes(data[:2] + comment + data[2:])


def bmp_bomb(width: int, height: int) -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + head + bytes(1000)


@pytest.mark.parametrize("make", [png_bomb, jpeg_bomb, bmp_bomb])
def test_pictures_of_a_folder_are_limited_by_their_headers(tmp_path, make):
    (tmp_path / "img_00001.jpg").write_bytes(make(16_000, 16_000))
    why = reason(read_frames_folder, tmp_path, all_of)
    assert "img_00001.jpg" in why and "at most 35,651,584 (--max-pixels" in why
    assert "16000x16000" in why or make is bmp_bomb  # such are asked of FFmpeg
    assert why == reason(load_clips, tmp_path, ClipSpec())


@pytest.mark.parametrize("ending", ["jpg", "png", "bmp", "webp", "tiff", "ppm"])
def test_pictures_of_every_kind_within_the_limit_are_read(tmp_path, ending):
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    suffix = f"img_{{:05}}.{ending}"
    for number in (1, 2):
        assert cv2.imwrite(str(tmp_path / suffix.format(number)), pixels)
    frames, _ = read_frames_folder(
        tmp_path, all_of, suffix=suffix, limits=Limits(pixels=64 * 48, frames=2)
    )
    known = cv2.imread(str(tmp_path / suffix.format(1)))[:, :, ::-1]
    assert np.array_equal(frames, np.stack([known] * 2))
    few = {"suffix": suffix, "limits": Limits(pixels=64 * 48 - 1)}
    assert "--max-pixels" in reason(read_frames_folder, tmp_path, all_of, **few)
    few["limits"] = Limits(frames=1)
    assert "--max-frames" in reason(read_frames_folder, tmp_path, all_of, **few)
    assert "--max-frames" in reason(read_frames_folder, tmp_path, all_of, frames=2, **few)
    few["limits"] = Limits(bytes=(tmp_path / suffix.format(1)).stat().st_size * 2 - 1)
    assert "--max-bytes" in reason(read_frames_folder, tmp_path, all_of, **few)


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_picture_without_an_end_is_not_waited_for(tmp_path, make):
    make(tmp_path / "img_00001.jpg")
    why = reason(read_frames_folder, tmp_path, all_of, frames=1)
    assert "img_00001.jpg" in why and "not a file" in why


def test_limits_of_predict_cost_one_video_only(make_bundle, colour_clip, tmp_path, capsys):
    bundle = make_bundle()
    colour_clip("v/long.mp4", "red", frames=12)
    colour_clip("v/short.mp4", "green", frames=6)
    gif_bomb(tmp_path / "v" / "large.gif", 16_000, 16_000)
    options = ["--bundle", str(bundle), "--video", str(tmp_path / "v"), "--format", "json"]
    assert main([*options, "--max-frames", "6"]) == 1
    large, long, short = map(json.loads, capsys.readouterr().out.splitlines())
    assert "--max-pixels" in large["error"] and "--max-frames" in long["error"]
    assert short["label"] == "green"
    assert main([*options, "--max-seconds", "0.1", "--max-pixels", "1000000000"]) == 1
    large, long, short = map(json.loads, capsys.readouterr().out.splitlines())
    assert "--max-seconds" in long["error"] and "--max-seconds" in short["error"]
    assert "--max-pixels" not in large.get("error", "")


@pytest.mark.parametrize(
    "option", [["--max-pixels", "0"], ["--max-seconds", "nan"], ["--max-bytes", "1e9"]]
)
def test_limits_are_numbers_above_zero(option, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--video", "a.mp4", *option])
    assert caught.value.code == 2 and option[0] in capsys.readouterr().err
    with pytest.raises(ValueError, match="frames"):
        Limits(frames=0)
    assert LIMITS.pixels >= 8192 * 4320


def all_of_one_size(data: bytearray, count: int) -> None:
    at = data.index(b"stsz") + 8
    struct.pack_into(">II", data, at, 1, count)
    struct.pack_into(">I", data, data.index(b"stsc") + 16, count)


def all_in_one_run(data: bytearray, count: int) -> None:
    struct.pack_into(">II", data, data.index(b"trun") + 4, 1, count)


def compressed(data: bytearray, count: int) -> None:
    all_of_one_size(data, count)
    begin = data.index(b"moov") - 4
    (size,) = struct.unpack_from(">I", data, begin)
    table = zlib.compress(data[begin : begin + size])
    parts = (b"cmvd", struct.pack(">I", size) + table), (b"dcom", b"zlib")
    inside = b"".join(struct.pack(">I", 8 + len(p)) + kind + p for kind, p in reversed(parts))
    box = struct.pack(">I", 8 + len(inside)) + b"cmov" + inside
    data[begin : begin + size] = struct.pack(">I", 8 + len(box)) + b"moov" + box


@pytest.mark.parametrize(
    ("claim", "flags"),
    [(all_of_one_size, ""), (compressed, ""), (all_in_one_run, "frag_keyframe+empty_moov")],
)
def test_tables_that_claim_more_than_a_file_can_hold(tmp_path, claim, flags):
    """FFmpeg would take 70 bytes of memory for each of them."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w", options={"movflags": flags} if flags else {}) as container:
        stream = container.add_stream("mpeg4", rate=Fraction(10))
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for _ in range(3):
            container.mux(stream.encode(black(64)))
        container.mux(stream.encode())
    _, info = read_video(path, all_of)
    assert (info.frames, info.damaged) == (3, False)
    data = bytearray(path.read_bytes())
    claim(data, 1_000_001)
    path.write_bytes(data)
    assert "1,000,001" in reason(read_video, path, all_of)
