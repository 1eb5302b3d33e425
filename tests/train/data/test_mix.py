"""Mixup, Cutmix, VideoMix: what is mixed, and that lam says how much."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.mix import Cutmix, Mix, Mixup, VideoMix, build_mix

ALL: list[Mix] = [Mixup(0.2), Cutmix(1.0), VideoMix()]


def flat_clips(count: int, height: int = 9, width: int = 7) -> tuple[np.ndarray, np.ndarray]:
    """Clips of one value each, so that a mixed pixel tells where it came from."""
    values = (np.arange(count) * 40).astype(np.uint8)
    clips = np.broadcast_to(values[:, None, None, None, None], (count, 3, height, width, 3))
    return clips.copy(), np.arange(count) + 10


@given(seed=st.integers(0, 2**32), count=st.integers(0, 6), mix=st.sampled_from(ALL))
def test_mean_of_each_clip_is_what_lam_says(seed: int, count: int, mix: Mix) -> None:
    clips, labels = flat_clips(count)
    before = clips.copy()
    mixed = mix(clips, labels, np.random.default_rng(seed))
    assert np.array_equal(clips, before)
    assert mixed.clips.dtype == mixed.lam.dtype == np.float32
    assert mixed.clips.shape == clips.shape
    assert mixed.lam.shape == (count,)
    assert ((mixed.lam >= 0) & (mixed.lam <= 1)).all()
    assert np.array_equal(mixed.labels_a, labels)
    assert sorted(mixed.labels_b) == sorted(labels)
    own, other = (mixed.labels_a - 10) * 40.0, (mixed.labels_b - 10) * 40.0
    expected = mixed.lam * own + (1 - mixed.lam) * other
    assert np.allclose(mixed.clips.mean(axis=(1, 2, 3, 4)), expected, atol=1e-3)


@given(seed=st.integers(0, 2**32))
def test_cutmix_cuts_one_box_out_of_all_frames_and_channels(seed: int) -> None:
    clips, labels = flat_clips(5)
    mixed = Cutmix(1.0)(clips, labels, np.random.default_rng(seed))
    foreign = mixed.clips != clips
    moved = mixed.labels_a != mixed.labels_b
    assert not foreign[~moved].any()
    for clip in foreign[moved]:
        assert (clip == clip[:1, :, :, :1]).all(), "the same in all frames and channels"
        rows, columns = np.nonzero(clip[0, :, :, 0])
        box = len(set(rows)) * len(set(columns))
        assert len(rows) == box, "a rectangle"
        assert np.isclose(1 - box / (9 * 7), mixed.lam[0])


def test_draws_follow_the_generator_and_differ() -> None:
    clips, labels = flat_clips(6)
    for mix in ALL:
        first, again, other = (mix(clips, labels, np.random.default_rng(s)) for s in (1, 1, 2))
        assert np.array_equal(first.clips, again.clips)
        assert not np.array_equal(first.clips, other.clips)


def test_videomix_uses_both() -> None:
    clips, labels = flat_clips(4)
    blended = 0
    for seed in range(40):
        mixed = VideoMix(0.5, 1.0, 1.0)(clips, labels, np.random.default_rng(seed))
        blended += bool(set(np.unique(mixed.clips)) - {0.0, 40.0, 80.0, 120.0})
    assert 5 < blended < 35


def test_build() -> None:
    assert build_mix(None) is None
    assert build_mix({"name": "Mixup", "alpha": 0.4}) == Mixup(0.4)
    assert build_mix({"name": "VideoMix", "cutmix_prob": 1}) == VideoMix(1)


def test_labels_must_belong_to_the_clips() -> None:
    with pytest.raises(ValueError, match="labels"):
        Mixup()(np.zeros((2, 1, 4, 4, 3), np.uint8), np.zeros(3), np.random.default_rng(0))
