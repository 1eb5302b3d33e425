"""Files that were cut off say so, whole ones do not, in every container that can tell."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from infer.clips.decode import read_video
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.pipeline.predictions import predict_videos
from infer.system.errors import VideoError

FRAMES = 20
LIVE = {"movflags": "frag_keyframe+empty_moov"}
WHOLE = {  # file name: (format, video codec, sound codec, options of the container, pixel format)
    "a.mp4": ("mp4", "libx264", "aac", {}, "yuv420p"),
    "index first.mp4": ("mp4", "libx264", "aac", {"movflags": "faststart"}, "yuv420p"),
    "fragments.mp4": ("mp4", "libx264", None, LIVE, "yuv420p"),
    "a.mov": ("mov", "mjpeg", None, {}, "yuvj420p"),
    "a.3gp": ("3gp", "libx264", None, {}, "yuv420p"),
    "a.m4v": ("mp4", "mpeg4", None, {}, "yuv420p"),
    "a.mkv": ("matroska", "libx264", "aac", {}, "yuv420p"),
    "live.mkv": ("matroska", "libx264", "aac", {"live": "1"}, "yuv420p"),
    "a.webm": ("webm", "libvpx", None, {}, "yuv420p"),
    "a.avi": ("avi", "mpeg4", "mp2", {}, "yuv420p"),
    "a.flv": ("flv", "libx264", "aac", {}, "yuv420p"),
    "no length.flv": ("flv", "flv1", None, {"flvflags": "no_duration_filesize"}, "yuv420p"),
    "a.ts": ("mpegts", "libx264", "mp2", {}, "yuv420p"),
    "a.m2ts": ("mpegts", "libx264", None, {"mpegts_m2ts_mode": "1"}, "yuv420p"),
    "a.mpg": ("mpeg", "mpeg1video", "mp2", {}, "yuv420p"),
    "a.vob": ("vob", "mpeg2video", None, {}, "yuv420p"),
    "vcd.mpg": ("vcd", "mpeg1video", "mp2", {}, "yuv420p"),
    "a.ogg": ("ogg", "libvpx", None, {}, "yuv420p"),
    "a.gif": ("gif", "gif", None, {}, "rgb8"),
    "a.apng": ("apng", "apng", None, {}, "rgb24"),
    "a.wmv": ("asf", "wmv2", None, {}, "yuv420p"),
    "a.mxf": ("mxf", "mpeg2video", None, {}, "yuv420p"),
    "a.ivf": ("ivf", "libvpx", None, {}, "yuv420p"),
    "a.y4m": ("yuv4mpegpipe", "rawvideo", None, {}, "yuv422p"),
    "deep.y4m": ("yuv4mpegpipe", "rawvideo", None, {"strict": "-1"}, "yuv420p10le"),
}
PACKETS = {"a.ts": 188, "a.m2ts": 192}
PADDED = "vcd.mpg"  # nor where zeros fill a packet up
LISTS_LAST = "a.mxf"  # its last part lists what the parts before it are: no picture is lost with it


def write(path, form, codec, sound_codec, options, pixels, *, late=0):
    rng = np.random.default_rng(0)
    resampler = None
    with av.open(str(path), "w", format=form, options=options) as container:
        stream = container.add_stream(codec, rate=Fraction(25))
        stream.width, stream.height, stream.pix_fmt = 80, 64, pixels
        stream.codec_context.thread_count = 1
        stream.codec_context.gop_size = 5
        if codec == "rawvideo":
            stream.codec_context.options = {"strict": "-1"}
        sound = container.add_stream(sound_codec, rate=44100) if sound_codec else None
        if sound:
            sound.layout = "stereo"
            wanted = sound.codec_context.format.name
            resampler = av.AudioResampler(format=wanted, layout="stereo", rate=44100)
        for number in range(FRAMES):
            picture = rng.integers(0, 255, (8, 10, 3), dtype=np.uint8)
            picture = cv2.resize(picture, (80, 64), interpolation=cv2.INTER_NEAREST)
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format=pixels)
            frame.pts, frame.time_base = number + late, Fraction(1, 25)
            container.mux(stream.encode(frame))
            if sound:
                noise = rng.normal(0, 0.1, (2, 1764)).astype(np.float32)
                heard = av.AudioFrame.from_ndarray(noise, "fltp", "stereo")
                heard.sample_rate, heard.pts = 44100, number * 1764
                for part in resampler.resample(heard):
                    container.mux(sound.encode(part))
        container.mux(stream.encode())
        if sound:
            container.mux(sound.encode())
    return path


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """`whole(name) -> bytes` of a file of `WHOLE`."""
    folder = tmp_path_factory.mktemp("whole")
    made = {}

    def get(name):
        if name not in made:
            made[name] = write(folder / name, *WHOLE[name]).read_bytes()
        return made[name]

    return get


def read(path):
    return read_video(path, lambda n: [0], each=lambda frame: frame[:4, :4])[1]


def outcome(path):
    """(damaged, what was lost, frames), a file that gives none included."""
    try:
        info = read(path)
    except VideoError as error:
        return True, error.reason, 0
    return info.damaged, info.lost, info.frames


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_file_is_not_called_damaged(name, whole, tmp_path):
    path = tmp_path / name
    path.write_bytes(whole(name))
    info = read(path)
    assert (info.frames, info.damaged, info.lost) == (FRAMES, False, "")


def between_parts(name, data, kept):
    """Whether a file that ends there is as whole as any: a recording may end there too."""
    after = data[kept : kept + 11]
    if name in PACKETS:
        return kept % PACKETS[name] == 0
    if name in ("a.mpg", "a.vob"):  # start codes of packets and packs
        return after.startswith(b"\0\0\1") and after[3] >= 0xB9
    if name == "no length.flv":  # kind, size, time, and the stream, which is always 0
        return after[0] in (8, 9, 18) and after[8:] == b"\0\0\0"
    return name == "fragments.mp4" and after[4:8] in (b"moof", b"mfra")


def within_a_part(name, data, kept):
    """The last place up to there where a part lacks its end, and be it a byte."""
    # Zeros at the end are padding, and the first bytes of a part may be zeros.
    for place in range(kept, max(kept - 4, 0), -1):
        if between_parts(name, data, place) and not data[place:kept].strip(b"\0"):
            return place - 1
    return kept


@pytest.mark.parametrize("name", sorted(WHOLE.keys() - {PADDED}))
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@example(share=0.2511549926436108)  # between two packets of a.mpg
@example(share=0.20022521716794392)  # in the zeros that begin a packet of a.vob
@example(share=0.6909418798990978)  # in the zero that begins a fragment of fragments.mp4
@example(share=0.5885015614368079)  # between two tags of "no length.flv"
@example(share=0.020974886634823463)  # in its first frame
@given(share=st.floats(0.02, 0.995))
def test_a_file_that_was_cut_off_says_so(name, whole, tmp_path, share):
    data = whole(name)
    kept = int(len(data) * share)
    kept = within_a_part(name, data, kept)
    path = tmp_path / name
    path.write_bytes(data[:kept])
    damaged, lost, frames = outcome(path)
    nothing_lost = name == LISTS_LAST and frames == FRAMES
    assert nothing_lost or (damaged and lost.startswith("cut off: "))


def test_what_was_lost_is_said_with_the_answer(whole, tmp_path):
    path = tmp_path / "a.mkv"
    path.write_bytes(whole("a.mkv")[: len(whole("a.mkv")) // 2])
    spec = ClipSpec(SamplingSpec(num_seg=2), PreprocessSpec(short_size=8, crop=8))
    stream = predict_videos([path], lambda clips: np.zeros((1, 2), np.float32), spec, ["a", "b"])
    warning = next(iter(stream)).warning
    assert "ends after 0." in warning and "of 0.8" in warning and "frames decode" in warning


def test_zeros_where_the_rest_should_be_are_told_by_the_time_stamps(tmp_path, write_clip):
    noise = np.random.default_rng(0).integers(0, 255, (40, 32, 48, 3), dtype=np.uint8)
    path = write_clip(tmp_path / "a.mkv", noise)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 4] + bytes(len(data) - len(data) // 4))
    assert "of 4.00 seconds" in read(path).lost


@pytest.mark.parametrize("form", ["matroska", "mp4", "mpegts", "avi"])
def test_a_stream_that_starts_late_is_whole(form, tmp_path):
    path = write(tmp_path / "a", form, "mpeg4", None, {}, "yuv420p", late=250)
    info = read(path)
    assert info.frames >= FRAMES and not info.damaged


def boxes(data):
    """Where the boxes of an MP4 file begin and end, those in its index too."""
    at, places = 0, {0, len(data)}
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
            size = 8
        places.add(at)
        at += size
    return sorted(places)


@pytest.mark.parametrize("name", ["a.mp4", "index first.mp4", "fragments.mp4", "a.mov"])
def test_an_mp4_file_that_was_cut_says_so_wherever_that_was(name, whole, tmp_path):
    data = whole(name)
    path = tmp_path / name
    ends = boxes(data)
    assert len(ends) > 15 and all(low < high for low, high in pairwise(ends))
    cuts = {end + by for end in ends for by in (-1, 0, 1, 4, 8, 12)}
    boundaries = []
    for kept in sorted(cut for cut in cuts if 0 < cut < len(data)):
        path.write_bytes(data[:kept])
        _, reason, _ = outcome(path)
        if reason:
            assert reason.startswith("cut off: "), (kept, reason)
            known = ("moov", "mdat", "are there", "byte is there", "ends after")
            assert any(part in reason for part in known), (kept, reason)
        else:  # only between two fragments, where a live recording ends too
            boundaries.append(kept)
    assert len(boundaries) <= (20 if name == "fragments.mp4" else 0)
