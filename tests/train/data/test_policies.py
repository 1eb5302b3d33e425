"""RandAugment and AutoAugment: one draw a clip, and operations that do what they are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.augment.picture_ops import EITHER_WAY, OPERATIONS, STRONGEST
from train.data.augment.policies import IMAGENET
from train.data.augment.transforms import build_transforms


def clip(seed: int = 0, size: int = 24) -> np.ndarray:
    """Smooth, so that half a pixel is no noise; no two frames alike."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (3, size // 4, size // 4, 3)).repeat(4, 1).repeat(4, 2)
    return np.asarray(np.clip(coarse, 20, 220), np.uint8)


def transform(name: str, **settings: Any) -> Any:
    (built,) = build_transforms([{name: settings}])
    return built


@pytest.mark.parametrize(
    "block", [{"RandAugment": {"num_layers": 3, "magnitude": 9}}, {"AutoAugment": {}}]
)
@given(seed=st.integers(0, 10_000))
def test_all_frames_of_a_clip_are_treated_alike(block: dict[str, Any], seed: int) -> None:
    (built,) = build_transforms([block])
    still = np.repeat(clip()[:1], 4, axis=0)
    out, label = built(still, 5, np.random.default_rng(seed))
    assert label == 5 and out.shape == still.shape and out.dtype == np.uint8
    assert all(np.array_equal(out[0], frame) for frame in out)
    again, _ = built(still, 5, np.random.default_rng(seed))
    np.testing.assert_array_equal(out, again)
    np.testing.assert_array_equal(still[0], clip()[0])  # what was given stays


def test_draws_differ_between_clips() -> None:
    built = transform("RandAugment", magnitude=8)
    results = {built(clip(), 0, np.random.default_rng(seed))[0].tobytes() for seed in range(20)}
    assert len(results) > 15


@pytest.mark.parametrize("name", ["RandAugment", "AutoAugment"])
def test_a_share_of_the_clips_stays_as_it_is(name: str) -> None:
    always, half, never = (transform(name, prob=prob) for prob in (1.0, 0.5, 0.0))
    plain, given = transform(name), clip()

    def changed(built: Any) -> int:
        results = (built(given, 0, np.random.default_rng(seed))[0] for seed in range(1000))
        return sum(not np.array_equal(result, given) for result in results)

    assert changed(never) == 0
    assert 0.45 * changed(always) < changed(half) < 0.55 * changed(always)
    for seed in range(20):  # 1.0 is the default, and takes no draw
        rngs = [np.random.default_rng(seed) for _ in range(2)]
        results = [t(given, 0, rng)[0] for t, rng in zip((always, plain), rngs, strict=True)]
        np.testing.assert_array_equal(*results)


@pytest.mark.parametrize("name", sorted(EITHER_WAY | {"posterize"}))
def test_no_strength_changes_nothing(name: str) -> None:
    np.testing.assert_array_equal(OPERATIONS[name](clip(), 0.0), clip())


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_full_strength_changes_something(name: str) -> None:
    assert not np.array_equal(OPERATIONS[name](clip(), STRONGEST[name]), clip())


def test_moves_and_turns_by_hand() -> None:
    frames = clip()
    moved = OPERATIONS["translateX"](frames, 0.25)
    np.testing.assert_array_equal(moved[:, :, :-6], frames[:, :, 6:])
    assert (moved[:, :, -6:] == 128).all()
    down = OPERATIONS["translateY"](frames, -0.25)
    np.testing.assert_array_equal(down[:, 6:], frames[:, :-6])
    turned = OPERATIONS["rotate"](frames, 90.0)
    np.testing.assert_allclose(
        turned.astype(int), np.rot90(frames, -1, axes=(1, 2)).astype(int), atol=1
    )


def test_colours_by_hand() -> None:
    frames = clip()
    np.testing.assert_array_equal(OPERATIONS["invert"](frames, 0.0), 255 - frames)
    np.testing.assert_array_equal(OPERATIONS["posterize"](frames, 4.0), frames // 16 * 16)
    half = OPERATIONS["solarize"](frames, 128.0)
    np.testing.assert_array_equal(half, np.where(frames < 128, frames, 255 - frames))
    np.testing.assert_allclose(OPERATIONS["brightness"](frames, -0.5), frames / 2, atol=0.5)
    grey = OPERATIONS["color"](frames, -1.0).astype(int)
    assert (np.ptp(grey, axis=-1) == 0).all()
    flat = OPERATIONS["contrast"](frames, -1.0)
    assert np.ptp(flat) == 0
    stretched = OPERATIONS["autocontrast"](frames, 0.0)
    assert (stretched.min(axis=(0, 1, 2)) == 0).all()
    assert (stretched.max(axis=(0, 1, 2)) == 255).all()


def test_equalize_spreads_a_dark_clip_over_the_whole_range() -> None:
    dark = np.random.default_rng(0).integers(0, 32, (2, 32, 32, 3), dtype=np.uint8)
    out = OPERATIONS["equalize"](dark, 0.0)
    quarters = np.histogram(out, bins=4, range=(0, 256))[0] / out.size
    assert (quarters > 0.15).all()
    same = np.full((2, 8, 8, 3), 7, np.uint8)
    np.testing.assert_array_equal(OPERATIONS["equalize"](same, 0.0), same)
    np.testing.assert_array_equal(OPERATIONS["autocontrast"](same, 0.0), same)


@pytest.mark.parametrize(
    ("name", "strength", "dark", "bright"),
    [
        # Four values, each as frequent: evenly spread.
        ("equalize", 0.0, [0, 85], [170, 255]),
        ("autocontrast", 0.0, [0, 51], [204, 255]),
        ("contrast", 1.0, [0, 0], [240, 255]),
    ],
)
def test_dark_and_bright_frames_of_a_clip_stay_so(
    name: str, strength: float, dark: list[int], bright: list[int]
) -> None:
    """What an operation learns of a clip it learns of all frames: single ones would flicker."""
    frames = np.zeros((2, 4, 4, 3), np.uint8)
    frames[0, :2], frames[0, 2:], frames[1, :2], frames[1, 2:] = 20, 60, 180, 220
    out = OPERATIONS[name](frames, strength)
    for frame, values in zip(out, (dark, bright), strict=True):
        assert frame[0, 0].tolist() == [values[0]] * 3 and frame[3, 3].tolist() == [values[1]] * 3


def test_the_papers_policy_names_operations_that_there_are() -> None:
    assert len(IMAGENET) == 25
    for pair in IMAGENET:
        assert len(pair) == 2
        for name, probability, magnitude in pair:
            assert name in OPERATIONS and 0 <= probability <= 1 and 0 <= magnitude <= 9
