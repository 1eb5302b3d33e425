"""Sampling by time, and pixels that are no squares: options of the spec."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.clips.preprocess import load_clips, read_scaled
from infer.clips.sampling import sample_indices
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.clips.time_stamps import frame_times
from train.data.dataset import ClipDataset
from train.data.lists import Sample

KINDS = st.sampled_from(["uniform", "dense"])


def made(path: Path, stamps: Sequence[int], aspect: Fraction | None = None) -> Path:
    """A video of 64 x 32 whose frame k is shown at stamps[k] / 1000 seconds, grey level 8 k."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        for number, stamp in enumerate(stamps):
            pixels = np.full((32, 64, 3), 8 * number, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = stamp, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def spec(by: str, segments: int = 4, **preprocess: object) -> ClipSpec:
    shape = {"short_size": 32, "fixed_ratio": False, "crop": 32, **preprocess}
    return ClipSpec(SamplingSpec(num_seg=segments, by=by), PreprocessSpec(**shape))


def numbers(path: Path, wanted: ClipSpec) -> list[int]:
    clips, _ = load_clips(path, wanted)
    return [round(float(frame.mean()) / 8) for frame in clips[0]]


# Ten frames in the first second, then one every second.
UNEVEN = [*range(0, 1000, 100), *range(1000, 10_000, 1000)]


@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_segments_are_equal_in_time(tmp_path, suffix):
    path = made(tmp_path / f"a{suffix}", UNEVEN)
    times = frame_times(path, len(UNEVEN))
    assert times is not None and np.allclose(times[:-1], np.array(UNEVEN) / 1000, atol=2e-3)
    assert numbers(path, spec("frame")) == [1, 5, 9, 13]
    by_time = numbers(path, spec("time"))
    # The frames that are shown in the middle of every fourth of nineteen equal slots.
    middles = times[0] + np.array([1.5, 5.5, 9.5, 13.5]) * (times[-1] - times[0]) / len(UNEVEN)
    assert all(times[k] <= at < times[k + 1] for k, at in zip(by_time, middles, strict=True))
    assert np.ptp(np.diff(middles)) < 1e-9 and by_time[-1] > 13


def test_frames_without_a_packet_each_are_timed_by_decoding(tmp_path):
    whole = made(tmp_path / "a.mkv", UNEVEN)
    cut = tmp_path / "b.mkv"
    cut.write_bytes(whole.read_bytes()[:-300])
    _, info = load_clips(cut, spec("time"))
    assert info.damaged and numbers(cut, spec("time"))


@given(
    frames=st.integers(1, 200),
    segments=st.integers(1, 20),
    views=st.integers(1, 4),
    kind=KINDS,
    left=st.booleans(),
    seed=st.one_of(st.none(), st.integers(0, 9)),
)
def test_at_a_constant_rate_both_take_the_same_frames(frames, segments, views, kind, left, seed):
    by_frame = SamplingSpec(num_seg=segments, views=views, kind=kind, select_left=left)
    by_time = replace(by_frame, by="time")
    times = 7.5 + np.arange(frames + 1) / 29.97
    draws = [None if seed is None else np.random.default_rng(seed) for _ in range(3)]
    wanted = sample_indices(frames, by_frame, rng=draws[0], times=times)
    assert sample_indices(frames, by_time, rng=draws[1], times=times) == wanted
    assert sample_indices(frames, by_time, rng=draws[2]) == wanted


@given(
    steps=st.lists(st.integers(1, 1000), min_size=1, max_size=60),
    segments=st.integers(1, 16),
    kind=KINDS,
)
def test_any_times_give_frames_that_are_there(steps, segments, kind):
    times = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = SamplingSpec(num_seg=segments, kind=kind, by="time")
    (clip,) = sample_indices(len(steps), wanted, times=times)
    assert len(clip) == segments and all(0 <= number < len(steps) for number in clip)
    if kind == "uniform":
        assert clip == sorted(clip)
    with pytest.raises(ValueError, match="times"):
        sample_indices(len(steps), wanted, times=times[:-1])


@pytest.mark.parametrize("cache", [False, True])
def test_training_draws_by_time_too(tmp_path, cache):
    path = made(tmp_path / "a.mkv", UNEVEN)
    data = ClipDataset([Sample(path, 0, None, 1)], spec("time"), train=True, cache=cache)
    for seed in range(5):
        clip = data.load(0, rng=np.random.default_rng(seed))
        scaled, _ = read_scaled(path, spec("time"), rng=np.random.default_rng(seed))
        assert np.array_equal(clip, scaled[0][:, :, 16:48])
        # By frame half of the draws would come from the first second.
        drawn = [round(float(frame.mean()) / 8) for frame in clip]
        assert drawn[1] >= 10, drawn


@pytest.mark.parametrize("aspect", [Fraction(2), Fraction(1, 2)])
def test_pixels_that_are_no_squares_are_scaled_as_they_are_shown(tmp_path, aspect):
    path = made(tmp_path / "a.mkv", range(0, 400, 40), aspect)
    wide = read_scaled(path, spec("frame", square_pixels=True))[0].shape[2:4]
    assert wide == ((32, 128) if aspect == 2 else (32, 32))
    assert read_scaled(path, spec("frame"))[0].shape[2:4] == (32, 64)
    data = ClipDataset(
        [Sample(path, 0, None, 1)], spec("frame", square_pixels=True), train=True, cache=True
    )
    assert data.load(0, rng=np.random.default_rng(0)).shape == (4, 32, 32, 3)


def test_options_are_said_where_they_are_set_and_old_specs_load():
    plain = ClipSpec().to_dict()
    assert "by" not in plain["sampling"] and "square_pixels" not in plain["preprocess"]
    assert ClipSpec.from_dict(plain) == ClipSpec()
    both = ClipSpec(SamplingSpec(by="time"), PreprocessSpec(square_pixels=True))
    said = both.to_dict()
    assert (said["sampling"]["by"], said["preprocess"]["square_pixels"]) == ("time", True)
    assert ClipSpec.from_dict(said) == both
