"""A clip that was encoded anew is found; other clips, and clips that cannot be read, are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from train.data.clip_set import clip_set
from train.data.fold_lists import write_folds
from train.data.lists import Sample
from train.data.near_duplicates import THRESHOLD, hash_clips, near_duplicates


def scene(seed: int, size: int = 96, frames: int = 12) -> np.ndarray:
    """A textured place over which a bright square moves."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (7, 9, 3), dtype=np.uint8)
    place = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
    clip = np.repeat(place[None], frames, axis=0)
    for number in range(frames):
        left = 4 * number + seed
        clip[number, 30:50, left : left + 20] = 255
    return clip


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    folder = tmp_path_factory.mktemp("near")
    for seed in range(9):
        write_clip(folder / f"{seed}.mp4", scene(seed))
    small = np.stack([cv2.resize(frame, (64, 64)) for frame in scene(3)])
    # Scaled, darker, by another codec and rate: the same clip for everybody but a checksum.
    write_clip(folder / "copy.avi", (small * 0.9).astype(np.uint8), fps=25, codec="mpeg4")
    (folder / "broken.mp4").write_bytes(b"no video")
    (folder / "broken too.mp4").write_bytes(b"no video")
    return folder


def test_a_copy_that_was_encoded_anew_is_found(clips: Path) -> None:
    names = [*(f"{seed}.mp4" for seed in range(9)), "copy.avi", "broken.mp4", "broken too.mp4"]
    samples = [Sample(clips / name, 0, None, line) for line, name in enumerate(names, start=1)]
    bits, read = hash_clips(samples)
    assert read.tolist() == [True] * 10 + [False] * 2
    (found,) = near_duplicates(bits, read)
    assert (names[found.first], names[found.second]) == ("3.mp4", "copy.avi")
    assert 0 < found.distance <= THRESHOLD
    assert near_duplicates(bits, read, apart=[0] * 12) == []
    every = near_duplicates(bits, read, threshold=1.0)
    assert len(every) == 45 and every[0] == found and every[1].distance > 2 * THRESHOLD


def test_folds_name_the_copies_that_straddle_them(
    clips: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    names = [*(f"{seed}.mp4" for seed in range(9)), "copy.avi"]
    samples = [Sample(clips / name, 0, None, line) for line, name in enumerate(names, start=1)]
    given = clip_set(samples, clips, "VideoDataset", "", "list")
    together = tmp_path / "groups.txt"
    together.write_text("".join(f"{n} {'3.mp4' if n == 'copy.avi' else n}\n" for n in names))
    apart = write_folds(tmp_path / "apart", given, folds=10, groups="none")
    (pair,) = apart.record["near_duplicates"]["pairs"]
    assert pair["clips"] == ["3.mp4", "copy.avi"] and pair["folds"][0] != pair["folds"][1]
    assert apart.record["near_duplicates"]["threshold"] == THRESHOLD
    assert "3.mp4" in caplog.text and "copy.avi" in caplog.text
    caplog.clear()
    grouped = write_folds(tmp_path / "grouped", given, folds=3, groups=str(together))
    assert grouped.record["near_duplicates"]["pairs"] == [] and "copy.avi" not in caplog.text
    joined = write_folds(tmp_path / "joined", given, folds=5, groups="none", join_duplicates=True)
    of = dict(zip(joined.record["clips"]["paths"], joined.groups, strict=True))
    assert of["copy.avi"] == of["3.mp4"] and len(set(of.values())) == 9
    assert joined.record["near_duplicates"]["pairs"] == [] and "joined" in joined.record["groups"]
    assert write_folds(tmp_path / "apart", given, folds=10, groups="none").record == apart.record
