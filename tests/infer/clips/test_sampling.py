"""Which frames are taken: invariants for any video, and the recipe's numbers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.clips.sampling import sample_indices
from infer.clips.spec import SamplingSpec

frame_counts = st.one_of(st.integers(1, 40), st.integers(1, 100_000))
uniform = st.builds(
    SamplingSpec,
    num_seg=st.integers(1, 40),
    seg_len=st.integers(1, 5),
    select_left=st.booleans(),
    views=st.integers(1, 12),
)
dense = st.builds(
    SamplingSpec,
    kind=st.just("dense"),
    num_seg=st.integers(1, 40),
    views=st.integers(1, 12),
    window=st.integers(40, 200),
)


@given(frame_counts, st.one_of(uniform, dense), st.one_of(st.none(), st.integers(0, 2**32)))
def test_number_and_range(frames, spec, seed):
    rng = None if seed is None else np.random.default_rng(seed)
    clips = sample_indices(frames, spec, rng=rng)
    assert len(clips) == (spec.views if rng is None else 1)
    for clip in clips:
        assert len(clip) == spec.length
        assert all(type(i) is int and 0 <= i < frames for i in clip)


@given(frame_counts, st.one_of(uniform, dense))
def test_evaluation_is_deterministic(frames, spec):
    assert sample_indices(frames, spec) == sample_indices(frames, spec)


@given(frame_counts, uniform, st.integers(0, 2**32))
def test_segments_keep_their_order(frames, spec, seed):
    for clip in [
        *sample_indices(frames, spec),
        *sample_indices(frames, spec, rng=np.random.default_rng(seed)),
    ]:
        starts = clip[:: spec.seg_len]
        assert starts == sorted(starts)
        if spec.seg_len == 1:
            assert clip == sorted(clip)


@given(frame_counts, uniform, st.integers(0, 2**32))
def test_a_draw_stays_within_its_segment(frames, spec, seed):
    (clip,) = sample_indices(frames, spec, rng=np.random.default_rng(seed))
    whole = not spec.select_left and frames >= spec.num_seg
    length = frames // spec.num_seg if whole else frames / spec.num_seg
    for k, start in enumerate(clip[:: spec.seg_len]):
        assert int(k * length) <= start < max((k + 1) * length, int(k * length) + 1)


@given(frame_counts, uniform)
def test_all_frames_of_a_short_video_are_used(frames, spec):
    frames = min(frames, spec.num_seg)
    spec = SamplingSpec(num_seg=spec.num_seg, select_left=spec.select_left)
    assert set(sample_indices(frames, spec)[0]) == set(range(frames))


def test_every_frame_of_a_segment_can_be_drawn():
    spec = SamplingSpec(num_seg=4, select_left=True)
    rng = np.random.default_rng(0)
    drawn = {i for _ in range(300) for i in sample_indices(15, spec, rng=rng)[0]}
    assert drawn == set(range(15))


@pytest.mark.parametrize(
    ("frames", "select_left", "expected"),
    [
        # PaddleVideo, by hand: segments of 48 whole frames, 23 frames into each
        (390, False, [23, 71, 119, 167, 215, 263, 311, 359]),
        # its select_left: int(48.75 * (k + 0.5))
        (390, True, [24, 73, 121, 170, 219, 268, 316, 365]),
        (15, False, [0, 1, 2, 3, 4, 5, 6, 7]),
        (15, True, [0, 2, 4, 6, 8, 10, 12, 14]),
        (8, False, [0, 1, 2, 3, 4, 5, 6, 7]),
        # shorter than num_seg: spread, where PaddleVideo starts over or repeats frame 0
        (3, False, [0, 0, 0, 1, 1, 2, 2, 2]),
        (3, True, [0, 0, 0, 1, 1, 2, 2, 2]),
        (1, False, [0] * 8),
    ],
)
def test_centres(frames, select_left, expected):
    spec = SamplingSpec(num_seg=8, select_left=select_left)
    assert sample_indices(frames, spec) == [expected]


def test_ten_dense_views_as_in_the_recipe():
    spec = SamplingSpec(kind="dense", num_seg=8, views=10)
    clips = sample_indices(200, spec)
    starts = np.linspace(0, 200 - 64, num=10, dtype=int).tolist()
    assert clips == [[s + 8 * k for k in range(8)] for s in starts]


def test_views_of_a_video_differ_and_surround_the_centre():
    one = sample_indices(300, SamplingSpec(num_seg=4, select_left=True))[0]
    three = sample_indices(300, SamplingSpec(num_seg=4, select_left=True, views=3))
    assert three[1] == one
    assert all(a < b < c for a, b, c in zip(*three, strict=True))


def test_runs_of_frames_end_at_the_last_one():
    spec = SamplingSpec(num_seg=2, seg_len=4)
    assert sample_indices(9, spec) == [[1, 2, 3, 4, 5, 6, 7, 8]]
    assert sample_indices(3, spec) == [[0, 1, 2, 2, 1, 2, 2, 2]]


def test_no_frames_is_an_error():
    with pytest.raises(ValueError, match="at least 1"):
        sample_indices(0, SamplingSpec())
