"""Exact frames from real files, and one clear reason where there are none."""

from __future__ import annotations

import json
import os
import struct
import wave

import av
import cv2
import numpy as np
import pytest

from infer.clips.decode import each_frame, read_video
from infer.system.errors import VideoError


def numbered(frames, height=32, width=48):
    """Frames whose grey level is their number times 8, the left half of them brighter by 100."""
    pixels = np.zeros((frames, height, width, 3), np.uint8)
    pixels[:] = (np.arange(frames, dtype=np.uint8) * 8)[:, None, None, None]
    pixels[:, :, : width // 2] += 100
    return pixels


def numbers(frames):
    return [round((float(f.mean()) - 50) / 8) for f in frames]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi", "a:b %03d [x].mp4"])
def test_frames_in_the_order_asked_for(tmp_path, write_clip, name):
    path = write_clip(tmp_path / name, numbered(14))
    asked = []

    def pick(frames):
        asked.append(frames)
        return [13, 0, 5, 5]

    frames, info = read_video(path, pick)
    assert frames.shape == (4, 32, 48, 3) and frames.dtype == np.uint8
    assert numbers(frames) == [13, 0, 5, 5]
    assert asked == [14]
    assert (info.frames, info.width, info.height, info.damaged) == (14, 48, 32, False)
    assert info.codec == "h264" and info.fps == 10


def test_each_frame_is_changed_once_as_it_comes(tmp_path, write_clip):
    path = write_clip(tmp_path / "a.mp4", numbered(10))
    seen = []

    def each(frame):
        seen.append(frame.shape)
        return frame[:4, :4]

    frames, _ = read_video(path, lambda n: [9, 2, 2, 9], each=each)
    assert frames.shape == (4, 4, 4, 3)
    assert seen == [(32, 48, 3)] * 2


def test_frames_one_by_one_are_those_read_at_once(tmp_path, write_clip):
    noise = np.random.default_rng(0).integers(0, 255, (12, 32, 48, 3), dtype=np.uint8)
    path = write_clip(tmp_path / "a.mp4", noise)
    seen = []
    info = each_frame(path, seen.append)
    frames, known = read_video(path, range)
    assert np.array_equal(np.stack(seen), frames) and info == known
    with pytest.raises(ZeroDivisionError):
        each_frame(path, lambda frame: 1 // 0)
    with pytest.raises(VideoError, match="no such file"):
        each_frame(tmp_path / "b.mp4", seen.append)


def test_a_header_that_claims_too_much(tmp_path, write_clip):
    path = write_clip(tmp_path / "a.avi", numbered(12))
    data = bytearray(path.read_bytes())
    at = data.index(b"strh") + 8 + 32  # dwLength of the stream header
    assert struct.unpack_from("<I", data, at) == (12,)
    struct.pack_into("<I", data, at, 900)
    path.write_bytes(data)
    frames, info = read_video(path, lambda n: [0, n - 1])
    assert numbers(frames) == [0, 11]
    assert (info.header_frames, info.frames, info.damaged) == (900, 12, False)


def test_a_file_that_was_cut_off_gives_what_is_there(tmp_path, write_clip):
    rough = np.random.default_rng(0).integers(-20, 20, (20, 32, 48, 3))
    pixels = (numbered(20).astype(int) + rough).clip(0, 255).astype(np.uint8)
    path = write_clip(tmp_path / "a.avi", pixels)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    frames, info = read_video(path, lambda n: [0, n - 1])
    assert 1 < info.frames < 20
    assert info.header_frames == 20 and info.damaged
    assert numbers(frames)[0] == 0 and numbers(frames)[1] in (info.frames - 2, info.frames - 1)


def test_damage_in_the_middle_is_said_and_the_rest_is_used(tmp_path, write_clip):
    noise = np.random.default_rng(0).integers(0, 255, (20, 32, 48, 3), dtype=np.uint8)
    path = write_clip(tmp_path / "a.mp4", noise)
    data = bytearray(path.read_bytes())
    middle = len(data) // 2  # in the pictures: the table of an mp4 file lies at its end
    data[middle : middle + 4000] = b"\xa5" * 4000
    path.write_bytes(data)
    frames, info = read_video(path, lambda n: range(n))
    assert info.damaged
    assert 10 < info.frames == len(frames) <= 20


UNIT = 0x10000
TURNS = {  # a, b, c, d of the display matrix -> what a player shows
    "90 clockwise": ((0, UNIT, -UNIT, 0), lambda f: np.rot90(f, -1)),
    "90 counter-clockwise": ((0, -UNIT, UNIT, 0), lambda f: np.rot90(f)),
    "180": ((-UNIT, 0, 0, -UNIT), lambda f: np.rot90(f, 2)),
    "mirrored": ((-UNIT, 0, 0, UNIT), lambda f: f[:, ::-1]),
    "upside down": ((UNIT, 0, 0, -UNIT), lambda f: f[::-1]),
    "transposed": ((0, UNIT, UNIT, 0), lambda f: f.transpose(1, 0, 2)),
    "impossible": ((0, 0, 0, 0), lambda f: f),
}


@pytest.mark.parametrize("name", TURNS)
def test_rotation_flags_are_applied(tmp_path, write_clip, name):
    (a, b, c, d), show = TURNS[name]
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16, :24] = 255
    picture[16:, :24] = 128
    path = write_clip(tmp_path / "a.mp4", np.stack([picture] * 3))
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40  # matrix of a version 0 track header
    assert struct.unpack_from(">9i", data, at) == (UNIT, 0, 0, 0, UNIT, 0, 0, 0, 1 << 30)
    struct.pack_into(">9i", data, at, a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    frames, info = read_video(path, lambda n: [1])
    want = show(picture)
    assert frames.shape[1:] == want.shape
    assert (info.height, info.width) == want.shape[:2]
    assert np.abs(frames[0].astype(int) - want).mean() < 5


ORIENTATIONS = {  # of EXIF -> what a player shows
    1: lambda f: f,
    3: lambda f: np.rot90(f, 2),
    6: lambda f: np.rot90(f, -1),
    8: lambda f: np.rot90(f),
}


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_pictures_of_a_camera_are_turned_as_they_say(tmp_path, orientation):
    """Motion JPEG whose pictures have EXIF, as cameras write it."""
    picture = np.zeros((32, 48, 3), np.uint8)
    picture[:16, :24] = 255
    picture[16:, :24] = 128
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)  # Orientation, one short
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    segment = b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 48, "yuvj420p"
        for _ in range(3):
            for made in stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")):
                data = bytes(made)
                packet = av.Packet(data[:2] + segment + data[2:])
                packet.pts, packet.dts, packet.time_base = made.pts, made.dts, made.time_base
                packet.stream = stream
                container.mux(packet)
    frames, info = read_video(path, lambda n: [1])
    want = ORIENTATIONS[orientation](picture)
    assert frames.shape[1:] == want.shape == (info.height, info.width, 3)
    assert np.abs(frames[0].astype(int) - want).mean() < 5


def write_wave(path):
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 8000, 0, "NONE", ""))
        sound.writeframes(bytes(16000))


def write_sound_with_cover(path):
    cover = cv2.imencode(".png", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    with av.open(str(path), "w") as container:
        sound = container.add_stream("mp3", rate=44100)
        picture = container.add_stream("png")
        picture.width = picture.height = 16
        picture.pix_fmt = "rgb24"
        picture.disposition = av.stream.Disposition.attached_pic
        packet = av.Packet(cover)
        packet.stream = picture
        packet.pts = packet.dts = 0
        container.mux(packet)
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 4410), np.float32), "fltp", "stereo")
        silence.sample_rate = 44100
        container.mux(sound.encode(silence))
        container.mux(sound.encode())


NOT_VIDEOS = {
    "missing.mp4": (None, "no such file"),
    "folder.mp4": (lambda p: p.mkdir(), "is a folder"),
    "empty.mp4": (lambda p: p.touch(), "is empty"),
    "pipe.mp4": (lambda p: os.mkfifo(p), "not a regular file"),
    "text.mp4": (lambda p: p.write_text("hello " * 500), "not a video"),
    "noise.mp4": (lambda p: p.write_bytes(np.random.default_rng(0).bytes(9999)), "not a video"),
    "sound.wav": (write_wave, "no picture, only audio"),
    "cover.mp3": (write_sound_with_cover, "only sound and a cover"),
    "picture.png": (lambda p: cv2.imwrite(str(p), np.zeros((9, 9, 3), np.uint8)), "still picture"),
    "list.m3u8": (
        lambda p: p.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\na.ts\n"),
        "not a video",
    ),
    "nul\0.mp4": (None, "no"),
}


@pytest.mark.parametrize("name", NOT_VIDEOS)
def test_one_clear_reason_for_what_is_no_video(tmp_path, name, capfd):
    make, reason = NOT_VIDEOS[name]
    path = tmp_path / name
    if make:
        make(path)
    with pytest.raises(VideoError) as caught:
        read_video(path, lambda n: [0])
    assert reason in caught.value.reason
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(str(path).replace("\0", r"\x00"))
    assert capfd.readouterr() == ("", "")


def test_a_wrong_pick_is_a_bug_not_a_bad_video(tmp_path, write_clip):
    path = write_clip(tmp_path / "a.mp4", numbered(3))
    with pytest.raises(ValueError, match="video of 3 frames"):
        read_video(path, lambda n: [3])


def test_the_corpus_of_real_clips_frame_by_frame(shared, capfd):
    """Every clip either gives the very frames of the manifest or a VideoError."""
    manifest = json.loads((shared / "clips" / "manifest.json").read_text())
    wrong = []
    for name, known in manifest.items():
        thumbs = {int(k): np.reshape(v, (16, 16)) for k, v in known["thumbs"].items()}
        asked = sorted(thumbs) or [0]
        try:
            frames, info = read_video(shared / "clips" / name, lambda n, asked=asked: asked)
        except VideoError as error:
            if known["frames"]:
                wrong.append(str(error))
            continue
        if info.damaged != known.get("damaged", False):
            wrong.append(f"{name}: damaged {info.damaged}")
        if known.get("damaged"):
            continue  # how much comes out is the decoder's business
        if info.frames != known["frames"]:
            wrong.append(f"{name}: {info.frames} frames, not {known['frames']}")
        if [info.width, info.height] != known["display"]:
            wrong.append(f"{name}: {info.width}x{info.height}, not {known['display']}")
        grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        small = np.array([cv2.resize(g, (16, 16), interpolation=cv2.INTER_AREA) for g in grey])
        truth = np.array([thumbs[k] for k in asked])
        bias = (small - truth).mean(0)  # another scaler and RGB in between: the same all along
        for number, seen in zip(asked, small - bias, strict=True):
            apart = np.abs(seen - truth).mean((1, 2))
            # Where nothing moves neighbours look the same: a quarter of a level from the nearest.
            if apart[asked.index(number)] > apart.min() + 0.25:
                wrong.append(f"{name}: frame {number} looks like {asked[int(apart.argmin())]}")
    assert wrong == []
    assert len(manifest) > 30
    assert capfd.readouterr() == ("", "")
