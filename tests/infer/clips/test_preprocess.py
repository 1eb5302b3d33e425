"""Pixels: PaddleVideo's sizes and pixels, crops, and draws that depend on the frames alone."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest

from infer.clips.decode import VideoInfo
from infer.clips.preprocess import (
    center_crop,
    crop_frames,
    load_clips,
    read_scaled,
    scale_frame,
    scale_frames,
    scaled_size,
)
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.system.errors import SpecError, VideoError


@pytest.mark.parametrize(
    ("size", "options", "expected"),
    [
        ((480, 270), {}, (341, 256)),
        ((270, 480), {}, (256, 341)),
        ((100, 100), {}, (256, 341)),
        ((340, 256), {}, (340, 256)),  # short side fits: untouched
        ((256, 999), {}, (256, 999)),
        ((480, 270), {"fixed_ratio": False}, (455, 256)),
        ((270, 480), {"fixed_ratio": False, "keep_ratio": True}, (256, 455)),
        ((300, 225), {"fixed_ratio": False}, (341, 256)),
        ((427, 240), {"fixed_ratio": False, "do_round": True}, (455, 256)),
        ((426, 240), {"fixed_ratio": False, "do_round": True}, (454, 256)),
        ((480, 270), {"fixed_ratio": False, "keep_ratio": False}, (256, 256)),
    ],
)
def test_sizes_are_those_of_the_recipe(size, options, expected):
    assert scaled_size(*size, PreprocessSpec(**options)) == expected


def test_frames_too_narrow_to_keep_their_shape():
    with pytest.raises(SpecError, match="2x1000"):
        scaled_size(2, 1000, PreprocessSpec(fixed_ratio=False))


def test_area_resize_averages_what_shrinks():
    frame = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
    spec = PreprocessSpec(short_size=32, crop=32, fixed_ratio=False)
    by_hand = frame.reshape(32, 2, 48, 2, 3).mean((1, 3))
    assert np.abs(scale_frame(frame, spec) - by_hand).max() <= 0.51


def test_one_axis_may_shrink_while_the_other_grows():
    stripes = np.zeros((40, 600, 3), np.uint8)
    stripes[:, ::2] = 200  # area averaging gives 100 everywhere
    out = scale_frame(stripes, PreprocessSpec(short_size=60, crop=60))
    assert out.shape == (60, 80, 3)
    assert abs(float(out.mean()) - 100) < 1 and out.std() < 30


def test_crop_is_centred_and_rounds_half_to_even():
    frames = np.broadcast_to(np.arange(9, dtype=np.uint8)[:, None], (2, 7, 9, 3))
    rows = np.arange(7 * 9, dtype=np.uint8).reshape(7, 9, 1).repeat(3, 2)[None]
    assert center_crop(frames, 4).shape == (2, 4, 4, 3)
    # (7 - 4) / 2 = 1.5 -> 2, (9 - 4) / 2 = 2.5 -> 2
    assert center_crop(rows, 4)[0, 0, 0, 0] == 2 * 9 + 2
    with pytest.raises(SpecError, match="crop of 8x8"):
        center_crop(frames, 8)


@pytest.mark.parametrize("resize", ["area", "pil"])
def test_pixels_equal_those_of_the_recipe(shared, resize):
    """Reference: what PaddleVideo hands to the network, rounded to 3 digits (0.0005 off at most).

    With PaddleVideo's own resize (pil) nothing but that rounding may differ. Area averaging has
    another kernel: over 14 x 14 averages it stays within half a grey level (0.5 / 255 / 0.22 =
    0.009) plus the rounding; the wrong frame is off by 0.4 and more.
    """
    if resize == "pil":
        pytest.importorskip("PIL")
    tolerance = {"pil": 0.0007, "area": 0.011}[resize]
    reference = json.loads((shared / "reference" / "preprocess.json").read_text())
    for key, known in reference.items():
        spec = ClipSpec(SamplingSpec(num_seg=known["num_seg"]), PreprocessSpec(resize=resize))
        path = shared / "clips" / key.split("@")[0]
        scaled, info = read_scaled(path, spec)
        assert info.frames == known["frames_len"]
        assert list(scaled.shape[2:4]) == known["scaled"][::-1]
        clips, _ = load_clips(path, spec)
        assert clips.shape == (1, *spec.clip_shape) and clips.dtype == np.uint8
        pixels = (clips[0] / 255 - spec.preprocess.mean) / spec.preprocess.std
        small = [cv2.resize(f, (14, 14), interpolation=cv2.INTER_AREA) for f in pixels]
        assert np.abs(pixels.mean((1, 2)) - known["mean"]).max() < tolerance / 2
        assert np.abs(np.array(small) - known["small14"]).max() < tolerance


def ramp(frames, height=40, width=60):
    return np.stack([np.full((height, width, 3), 10 * k, np.uint8) for k in range(frames)])


SMALL = PreprocessSpec(short_size=32, crop=32)


def test_views_come_out_in_order(tmp_path, write_clip):
    path = write_clip(tmp_path / "a.mp4", ramp(24))
    spec = ClipSpec(SamplingSpec(num_seg=4, views=3, select_left=True), SMALL)
    clips, info = load_clips(path, spec)
    assert clips.shape == (3, 4, 32, 32, 3) and info.frames == 24
    levels = (clips.mean((2, 3, 4)) / 10).round().astype(int).tolist()
    assert levels == [[1, 7, 13, 19], [3, 9, 15, 21], [5, 11, 17, 23]]


@pytest.mark.parametrize("size", [(96, 128), (128, 96), (97, 127)])
def test_three_crops_lie_where_paddlevideo_cuts_them(size):
    # GroupFullResSample: multiples of (width - crop) // 4 and (height - crop) // 4.
    height, width = size
    places = np.stack(np.mgrid[:height, :width, :1], axis=-1)[:, :, 0].astype(np.uint8)
    views = np.stack([places[None]] * 2)  # [views, T, H, W, 3]
    views[1, ..., 2] = 1
    cut = crop_frames(views, PreprocessSpec(short_size=96, crop=64, crops=3))
    assert cut.shape == (6, 1, 64, 64, 3) and cut.flags.c_contiguous
    down, right = (height - 64) // 4, (width - 64) // 4
    offsets = [(2 * down, 0), (2 * down, 4 * right), (2 * down, 2 * right)]
    assert [tuple(clip[0, 0, 0, :2]) for clip in cut] == offsets * 2
    assert cut[:, 0, 0, 0, 2].tolist() == [0, 0, 0, 1, 1, 1]
    assert tuple(cut[1, 0, -1, -1, :2]) == (2 * down + 63, 4 * right + 63)


def test_crops_of_a_video_are_clips_of_it(tmp_path, write_clip):
    path = write_clip(tmp_path / "a.mp4", ramp(24))
    spec = ClipSpec(
        SamplingSpec(num_seg=4, views=2, select_left=True),
        PreprocessSpec(short_size=32, crop=24, crops=3),
    )
    clips, _ = load_clips(path, spec)
    assert clips.shape == (spec.clips, 4, 24, 24, 3) and spec.clips == 6
    levels = (clips.mean((1, 2, 3, 4)) / 10).round(1)
    assert levels[:3].std() < 0.11 and levels[3:].mean() > levels[:3].mean() + 1


def test_a_short_video_fills_a_clip(tmp_path, write_clip):
    path = write_clip(tmp_path / "a.mp4", ramp(3))
    clips, _ = load_clips(path, ClipSpec(SamplingSpec(num_seg=8), SMALL))
    assert (clips.mean((0, 2, 3, 4)) / 10).round().tolist() == [0, 0, 0, 1, 1, 2, 2, 2]


def test_a_draw_depends_on_the_frames_there_are_and_not_on_those_announced(monkeypatch):
    frames = ramp(20)

    def reader(*announced):
        def read(path, pick, *, each, **_):
            wanted = [pick(count) for count in announced][-1]
            info = VideoInfo(path, "x", 8, 8, None, None, announced[-1], damaged=False)
            return np.stack([each(frames[i]) for i in wanted]), info

        return read

    spec = ClipSpec(SamplingSpec(num_seg=4, select_left=True), SMALL)
    draws = {}
    for announced in ((17,), (20, 17), (20,)):
        monkeypatch.setattr("infer.clips.preprocess.read_video", reader(*announced))
        draws[announced] = [
            read_scaled("a.mp4", spec, rng=np.random.default_rng(seed))[0] for seed in range(5)
        ]
    assert np.array_equal(draws[17,], draws[20, 17])
    assert not np.array_equal(draws[17,], draws[20,])


def test_training_draws_differ_and_repeat_with_their_seed(tmp_path, write_clip):
    path = write_clip(tmp_path / "a.mp4", ramp(25))
    spec = ClipSpec(SamplingSpec(num_seg=4, views=5), SMALL)
    draws = [read_scaled(path, spec, rng=np.random.default_rng(s))[0] for s in (1, 1, 2)]
    assert draws[0].shape == (1, 4, 32, 42, 3)
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_a_folder_of_frames_is_a_video(tmp_path):
    folder = tmp_path / "clip"
    folder.mkdir()
    for k, picture in enumerate(ramp(9), 1):
        cv2.imwrite(str(folder / f"f{k}.png"), picture)
    spec = ClipSpec(SamplingSpec(num_seg=3), SMALL)
    clips, info = load_clips(folder, spec, suffix="f{}.png", frames=9)
    assert np.unique(clips).tolist() == [10, 40, 70]
    assert info.codec == "frames"
    shutil.rmtree(folder)
    with pytest.raises(VideoError):
        load_clips(folder, spec, suffix="f{}.png", frames=9)


def test_scale_frames_scales_each():
    frames = np.random.default_rng(0).integers(0, 256, (2, 80, 90, 3), dtype=np.uint8)
    both = scale_frames(frames, SMALL)
    assert np.array_equal(both[1], scale_frame(frames[1], SMALL))
