"""Training transforms: one draw a clip, sizes, ranges, and what the config may say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.augment.transforms import (
    AugmentError,
    CenterCrop,
    ChannelShuffle,
    ColorJitter,
    MultiScaleCrop,
    RandomCrop,
    RandomFlip,
    RandomShift,
    Transform,
    apply_transforms,
    build_transforms,
)

ALL: list[Transform] = [
    CenterCrop(16),
    RandomCrop(16),
    MultiScaleCrop(16),
    MultiScaleCrop(16, fix_crop=False, max_distort=2),
    RandomFlip(),
    ColorJitter(0.4, 0.4, 0.4),
    ChannelShuffle(),
    RandomShift(3),
]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def picture(height: int, width: int, seed: int = 0) -> np.ndarray:
    return rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


def ramp(height: int, width: int) -> np.ndarray:
    """One frame whose red is the column and whose green is the row, so a pixel tells its place."""
    frame = np.zeros((1, height, width, 3), np.uint8)
    frame[..., 0] = np.arange(width)
    frame[..., 1] = np.arange(height)[:, None]
    return frame


@given(
    seed=st.integers(0, 2**32),
    height=st.integers(16, 40),
    width=st.integers(16, 40),
    transform=st.sampled_from(ALL),
)
def test_all_frames_get_the_same_draw(
    seed: int, height: int, width: int, transform: Transform
) -> None:
    frames = np.stack([picture(height, width)] * 3)
    before = frames.copy()
    out, label = transform(frames, 7, rng(seed))
    assert np.array_equal(frames, before), "the input stays"
    assert out.dtype == np.uint8
    assert out.ndim == 4
    assert out.shape[-1] == 3
    assert label == 7
    assert (out == out[:1]).all()
    assert np.array_equal(out, transform(frames, 7, rng(seed))[0]), "the generator decides"


@given(seed=st.integers(0, 2**32), height=st.integers(16, 30), width=st.integers(16, 30))
def test_random_crop_is_a_window(seed: int, height: int, width: int) -> None:
    out, _ = RandomCrop(16)(ramp(height, width), 0, rng(seed))
    left, top = out[0, 0, 0, :2].astype(int)
    assert np.array_equal(out, ramp(height, width)[:, top : top + 16, left : left + 16])


def test_random_crop_reaches_every_place_and_center_crop_the_middle() -> None:
    frames = ramp(18, 17)
    places = {tuple(RandomCrop(16)(frames, 0, rng(s))[0][0, 0, 0, :2]) for s in range(200)}
    assert places == {(x, y) for x in range(2) for y in range(3)}
    # As PaddleVideo: a rest of 1, 2, 3 pixels puts the corner at 0, 1, 2, without rounding 0, 1, 1.
    for rest, rounded, cut in ((1, 0, 0), (2, 1, 1), (3, 2, 1)):
        for do_round, corner in ((True, rounded), (False, cut)):
            out, _ = CenterCrop(16, do_round)(ramp(16 + rest, 17), 0, rng())
            assert out.shape == (1, 16, 16, 3)
            assert tuple(out[0, 0, 0, :2]) == (0, corner)


@pytest.mark.parametrize("transform", [CenterCrop(16), RandomCrop(16)])
def test_crop_larger_than_the_frame_is_an_error(transform: Transform) -> None:
    with pytest.raises(AugmentError, match="target_size 16"):
        transform(ramp(20, 15), 0, rng())


@given(
    seed=st.integers(0, 2**32),
    height=st.integers(1, 60),
    width=st.integers(1, 60),
    target=st.integers(1, 48),
    fix=st.booleans(),
    more=st.booleans(),
)
def test_multi_scale_crop_always_ends_at_its_target(
    seed: int, height: int, width: int, target: int, fix: bool, more: bool
) -> None:
    crop = MultiScaleCrop(target, fix_crop=fix, more_fix_crop=more)
    out, _ = crop(ramp(height, width), 0, rng(seed))
    assert out.shape == (1, target, target, 3)
    assert out[..., 0].max() < width
    assert out[..., 1].max() < height


def test_multi_scale_crop_draws_sizes_and_respects_distortion() -> None:
    frames = ramp(100, 200)
    sizes = set()
    for seed in range(300):
        out = MultiScaleCrop(50, max_distort=1)(frames, 0, rng(seed))[0][0].astype(int)
        wide = out[0, -1, 0] - out[0, 0, 0]
        tall = out[-1, 0, 1] - out[0, 0, 1]
        sizes.add((round((tall + 1) / 100, 1), round((wide + 1) / 100, 1)))
        assert abs(tall - wide) < 100 * 0.13 + 3, "sides at most one scale apart"
    assert len(sizes) >= 6


def test_multi_scale_crop_takes_the_target_size_without_resizing() -> None:
    crop = MultiScaleCrop(48, scales=[0.97])  # int(50 * 0.97) = 48
    out, _ = crop(ramp(50, 50), 0, rng(3))
    left, top = out[0, 0, 0, :2].astype(int)
    assert np.array_equal(out, ramp(50, 50)[:, top : top + 48, left : left + 48])


def test_flip_mirrors_columns_and_swaps_labels() -> None:
    frames = ramp(5, 6)
    flip = RandomFlip(1.0, {0: 1, 1: 0})
    for label, swapped in ((0, 1), (1, 0), (2, 2)):
        out, got = flip(frames, label, rng())
        assert got == swapped
        assert np.array_equal(out, frames[:, :, ::-1])
    assert RandomFlip(0.0, {0: 1, 1: 0})(frames, 0, rng())[1] == 0
    flipped = sum(RandomFlip(0.5, {0: 1, 1: 0})(frames, 0, rng(s))[1] for s in range(200))
    assert 60 < flipped < 140


def test_shift_moves_and_repeats_the_border() -> None:
    frames = ramp(9, 9)
    moved = set()
    for seed in range(200):
        out = RandomShift(2)(frames, 0, rng(seed))[0].astype(int)
        right, down = 4 - out[0, 4, 4, 0], 4 - out[0, 4, 4, 1]
        moved.add((right, down))
        assert np.array_equal(out[0, 0, :, 0], np.clip(np.arange(9) - right, 0, 8))
        assert np.array_equal(out[0, :, 0, 1], np.clip(np.arange(9) - down, 0, 8))
    assert moved == {(x, y) for x in range(-2, 3) for y in range(-2, 3)}


def test_channel_shuffle_only_permutes() -> None:
    frames = np.stack([picture(6, 6)])
    seen = set()
    for seed in range(100):
        out, _ = ChannelShuffle(1.0)(frames, 0, rng(seed))
        match = [
            next(c for c in range(3) if np.array_equal(out[..., new], frames[..., c]))
            for new in range(3)
        ]
        assert sorted(match) == [0, 1, 2]
        seen.add(tuple(match))
    assert len(seen) == 6


def test_brightness_scales_and_contrast_keeps_the_mean() -> None:
    frames = np.stack([picture(20, 20) // 4 + 90] * 2)
    for seed in range(20):
        bright, _ = ColorJitter(brightness=0.3)(frames, 0, rng(seed))
        factor = bright.mean() / frames.mean()
        assert 0.69 < factor < 1.31
        assert np.abs(bright - frames * factor).max() < 1.5
        contrast, _ = ColorJitter(contrast=0.3)(frames, 0, rng(seed))
        luma = np.array([0.299, 0.587, 0.114])
        assert abs((contrast.mean((0, 1, 2)) - frames.mean((0, 1, 2))) @ luma) < 0.6


def test_saturation_keeps_grey_and_luma() -> None:
    grey = np.repeat(picture(8, 8)[None, :, :, :1], 3, axis=3)
    colour = np.stack([picture(8, 8) // 2 + 60])
    luma = np.array([0.299, 0.587, 0.114])
    changed = 0
    for seed in range(20):
        jitter = ColorJitter(saturation=0.5)
        assert np.array_equal(jitter(grey, 0, rng(seed))[0], grey)
        out, _ = jitter(colour, 0, rng(seed))
        assert np.abs((out.astype(float) - colour) @ luma).max() < 1.1
        changed += not np.array_equal(out, colour)
    assert changed > 15


def test_jitter_clips_instead_of_wrapping() -> None:
    frames = np.full((1, 4, 4, 3), 250, np.uint8)
    outs = [ColorJitter(brightness=1.0)(frames, 0, rng(seed))[0] for seed in range(30)]
    factors = [rng(seed).uniform(0.0, 2.0) for seed in range(30)]
    for out, factor in zip(outs, factors, strict=True):
        assert abs(float(out[0, 0, 0, 0]) - min(250 * factor, 255)) <= 0.5


def test_build_takes_the_recipe_as_it_stands() -> None:
    transforms = build_transforms(
        [
            {"Scale": {"short_size": 256}},
            {"MultiScaleCrop": {"target_size": 256, "backend": "cv2", "scales": None}},
            {"RandomCrop": {"target_size": 224}},
            {"RandomFlip": None},
            {"Image2Array": None},
            {"Normalization": {"mean": [0, 0, 0], "std": [1, 1, 1]}},
        ]
    )
    assert transforms == (MultiScaleCrop(256), RandomCrop(224), RandomFlip(0.5))
    frames = np.zeros((2, 256, 341, 3), np.uint8)
    assert apply_transforms(transforms, frames, 3, rng())[0].shape == (2, 224, 224, 3)


@pytest.mark.parametrize("labels", [{0: 1}, {0: 1, 1: 2, 2: 0}])
def test_labels_swap_both_ways(labels: dict[int, int]) -> None:
    with pytest.raises(AugmentError, match="pairs both ways"):
        build_transforms([{"RandomFlip": {"labels": labels}}])
