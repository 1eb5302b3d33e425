"""Samples as pixels: real files, training draws, evaluation as deployed, cache or not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from infer.clips.preprocess import load_clips
from infer.clips.sampling import sample_indices
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.system.errors import VideoError
from train.data.augment.transforms import AugmentError, build_transforms
from train.data.dataset import ClipDataset
from train.data.lists import Sample, read_list
from train.data.loader import epoch_batches
from train.engine.probe import probe_clips

WriteClip = Callable[..., Path]

SPEC = ClipSpec(
    SamplingSpec(num_seg=4, select_left=True),
    PreprocessSpec(short_size=32, fixed_ratio=False, crop=24),
)
AUGMENT = build_transforms(
    [
        {"MultiScaleCrop": {"target_size": 28}},
        {"RandomCrop": {"target_size": 24}},
        {"RandomFlip": {"labels": {0: 1, 1: 0}}},
        {"ColorJitter": {"brightness": 0.3, "contrast": 0.3, "saturation": 0.3}},
        {"ChannelShuffle": None},
        {"RandomShift": {"pixels": 2}},
    ]
)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def moving(count: int, height: int = 48, width: int = 64) -> np.ndarray:
    """uint8 [count, height, width, 3]: frame k is about 10 k bright, with a moving stripe."""
    frames = np.zeros((count, height, width, 3), np.uint8)
    for k, frame in enumerate(frames):
        frame[:] = 10 * k
        frame[:, (4 * k) % width : (4 * k) % width + 4] = (200, 100, 50)
    return frames


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, write_clip: WriteClip) -> list[Sample]:
    folder = tmp_path_factory.mktemp("videos")
    lines = []
    for k, count in enumerate((12, 20, 3, 1)):
        write_clip(folder / f"clip {k}.mp4", moving(count, width=64 + 16 * k))
        lines.append(f"clip {k}.mp4 {k % 2}")
    (folder / "broken.mp4").write_bytes(b"this is not a video" * 50)
    whole = (folder / "clip 1.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 3])
    lines += ["broken.mp4 0", "cut.mp4 1"]
    (folder / "all.list").write_text("\n".join(lines))
    return read_list(folder / "all.list", root=folder, num_classes=2)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Sample]:
    """A whole folder, one without its sixth picture, one whose sixth picture is no picture."""
    root = tmp_path_factory.mktemp("frames")
    for name in ("whole", "holed", "spoiled"):
        (root / name).mkdir()
        for k, frame in enumerate(moving(8), start=1):
            cv2.imwrite(str(root / name / f"img_{k:05}.jpg"), frame[:, :, ::-1])
    (root / "holed" / "img_00006.jpg").unlink()
    (root / "spoiled" / "img_00006.jpg").write_bytes(b"no picture")
    (root / "the.list").write_text("whole 8 0\nholed 8 1\nspoiled 8 1\n")
    return read_list(root / "the.list", root=root, format="FrameDataset", num_classes=2)


def outcome(
    dataset: ClipDataset, index: int, seed: int
) -> tuple[bytes, tuple[int, ...], int] | str:
    """Pixels, shape and label of a training draw, or the reason why there is none."""
    try:
        clips, label = dataset.read(index, rng=rng(seed))
    except VideoError as error:
        return error.reason
    return clips.tobytes(), clips.shape, label


def test_evaluation_is_what_deployment_loads(samples: list[Sample]) -> None:
    spec = ClipSpec(SamplingSpec(num_seg=4, select_left=True, views=3), SPEC.preprocess)
    dataset = ClipDataset(samples, spec, train=False)
    for index in range(4):
        clips, label = dataset.read(index, rng=None)
        deployed, _ = load_clips(samples[index].path, spec)
        assert clips.shape == (3, 4, 24, 24, 3)
        assert np.array_equal(clips, deployed)
        assert label == samples[index].label
    assert (dataset.views, dataset.clip_shape, len(dataset)) == (3, (4, 24, 24, 3), 6)
    with pytest.raises(ValueError, match="3 views"):
        dataset.load(0)


def test_load_is_the_only_view(samples: list[Sample]) -> None:
    dataset = ClipDataset(samples, SPEC, train=False)
    assert np.array_equal(dataset.load(1), load_clips(samples[1].path, SPEC)[0][0])


def test_training_draws_frames_of_the_video(samples: list[Sample]) -> None:
    dataset = ClipDataset(samples, SPEC, train=True)
    draws = set()
    for seed in range(12):
        clip = dataset.load(1, rng=rng(seed))
        assert clip.shape == (4, 24, 24, 3)
        (expected,) = sample_indices(20, SPEC.sampling, rng=rng(seed))
        # Frame k is 10 k bright wherever the stripe is not.
        seen = [round(float(np.median(frame)) / 10) for frame in clip]
        assert seen == expected
        draws.add(tuple(seen))
    assert len(draws) > 6
    with pytest.raises(ValueError, match="needs rng"):
        dataset.load(1)


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("which", ["samples", "folders"])
def test_the_cache_changes_nothing(which: str, train: bool, request: pytest.FixtureRequest) -> None:
    listed: list[Sample] = request.getfixturevalue(which)
    transforms = AUGMENT if train else ()
    plain = ClipDataset(listed, SPEC, train=train, transforms=transforms)
    cached = ClipDataset(listed, SPEC, train=train, transforms=transforms, cache=True)
    failures = set()
    for epoch in range(3):
        for index in range(len(listed)):
            for seed in range(4):
                result = outcome(plain, index, 10 * epoch + seed)
                assert result == outcome(cached, index, 10 * epoch + seed)
                failures.update({result} if isinstance(result, str) else ())
    assert failures, "files that cannot be read are among them"


def test_the_cache_does_without_the_file_and_is_not_changed_by_the_user(
    tmp_path: Path, write_clip: WriteClip
) -> None:
    path = write_clip(tmp_path / "a.mp4", moving(10))
    for train in (True, False):
        dataset = ClipDataset([Sample(path, 0, None, 1)], SPEC, train=train, cache=True)
        first = dataset.load(0, rng=rng())
        kept = first.copy()
        first[:] = 0
        path.rename(tmp_path / "away.mp4")
        second = dataset.load(0, rng=rng())
        assert np.array_equal(second, kept)
        second[:] = 0
        assert np.array_equal(dataset.load(0, rng=rng()), kept)
        (tmp_path / "away.mp4").rename(path)


def test_label_follows_the_flip(samples: list[Sample]) -> None:
    flip = build_transforms(
        [{"CenterCrop": {"target_size": 24}}, {"RandomFlip": {"p": 1, "labels": {0: 1, 1: 0}}}]
    )
    plain = ClipDataset(samples, SPEC, train=True)
    mirrored = ClipDataset(samples, SPEC, train=True, transforms=flip)
    for index in range(3):
        clips, label = plain.read(index, rng=rng(3))
        other, swapped = mirrored.read(index, rng=rng(3))
        assert np.array_equal(other, clips[:, :, :, ::-1])
        assert swapped == 1 - label


def test_unreadable_files_are_typed_errors(samples: list[Sample], folders: list[Sample]) -> None:
    for train in (True, False):
        for listed, bad in ((samples, 4), (samples, 5)):
            with pytest.raises(VideoError) as caught:
                ClipDataset(listed, SPEC, train=train).read(bad, rng=rng())
            assert caught.value.path == listed[bad].path
    # Of 8 pictures, evaluation takes 2, 4, 6, 8 (numbers from 1): the sixth is the bad one.
    for bad in (1, 2):
        with pytest.raises(VideoError, match=r"img_00006\.jpg"):
            ClipDataset(folders, SPEC, train=False).load(bad)


def test_frame_folder_starts_at_one(folders: list[Sample]) -> None:
    clip = ClipDataset(folders, SPEC, train=False).load(0)
    brightness = [round(float(np.median(frame)) / 10) for frame in clip]
    assert brightness == sample_indices(8, SPEC.sampling)[0]


def test_frame_folder_that_starts_at_zero(tmp_path: Path) -> None:
    """The same clip and the same draws as of the same pictures numbered from 1, none left out."""
    for name, first in (("one", 1), ("zero", 0)):
        (tmp_path / name).mkdir()
        for k, frame in enumerate(moving(8), start=first):
            cv2.imwrite(str(tmp_path / name / f"img_{k:05}.jpg"), frame[:, :, ::-1])
    (tmp_path / "the.list").write_text("zero 8 0\none 8 0\n")
    listed = read_list(tmp_path / "the.list", root=tmp_path, format="FrameDataset", num_classes=1)
    for cache in (False, True):
        dataset = ClipDataset(listed, SPEC, train=False, cache=cache)
        assert np.array_equal(dataset.load(0), dataset.load(1))
        drawn = ClipDataset(listed, SPEC, train=True, cache=cache)
        for seed in range(20):
            assert outcome(drawn, 0, seed) == outcome(drawn, 1, seed)
    (tmp_path / "zero.list").write_text("zero 8 0\n")
    read_list(tmp_path / "zero.list", root=tmp_path, format="FrameDataset")


def test_a_look_says_how_frames_are_numbered_and_which_are_missing(tmp_path: Path) -> None:
    def listed(*lines: str) -> ClipDataset:
        (tmp_path / "the.list").write_text("\n".join(lines))
        file = tmp_path / "the.list"
        return ClipDataset(read_list(file, root=tmp_path, format="FrameDataset"), SPEC, train=True)

    for name, numbers in (("a", range(8)), ("b", range(1, 9)), ("c", (0, 1, 4, 5, 6, 7))):
        (tmp_path / name).mkdir()
        for k in numbers:
            cv2.imwrite(str(tmp_path / name / f"img_{k:05}.jpg"), moving(8)[0])
    notes: list[str] = []
    probe_clips({"training": listed("b 8 0")}, limit=5, seed=0, note=notes.append)
    assert notes == ["looked at 1 of 1 training clips"]
    probe_clips({"training": listed("a 8 0", "b 8 0", "c 8 0")}, limit=5, seed=0, note=notes.append)
    assert "in 2 of 3 folders" in notes[1]
    assert "1 of 3 folders lack frames" in notes[2] and "not there: 2 to 3" in notes[2]
    assert len(notes) == 4
    probe_clips({"training": listed("a 5 0")}, limit=5, seed=0, note=notes.append)
    assert "5 claimed, 8 there" in notes[5]


def test_transforms_must_end_at_the_crop(samples: list[Sample]) -> None:
    wrong = build_transforms([{"RandomCrop": {"target_size": 28}}])
    with pytest.raises(AugmentError, match=r"clips are 24 x 24"):
        ClipDataset(samples, SPEC, train=True, transforms=wrong)
    # Right for square videos only: said with the name of the first video that is not.
    spec = ClipSpec(SPEC.sampling, PreprocessSpec(short_size=24, fixed_ratio=False, crop=24))
    dataset = ClipDataset(
        samples, spec, train=True, transforms=build_transforms([{"RandomFlip": None}])
    )
    with pytest.raises(AugmentError, match=r"clip 0\.mp4.*32 x 24"):
        dataset.load(0, rng=rng())
    with pytest.raises(ValueError, match="transforms"):
        ClipDataset(samples, SPEC, train=False, transforms=AUGMENT)


def test_epoch_over_real_files_does_not_depend_on_workers(samples: list[Sample]) -> None:
    def epoch(workers: int, cache: bool) -> list[tuple[bytes, list[int], list[int]]]:
        dataset = ClipDataset(samples, SPEC, train=True, transforms=AUGMENT, cache=cache)
        batches = epoch_batches(
            dataset,
            batch_size=2,
            seed=1,
            epoch=2,
            shuffle=True,
            drop_last=False,
            workers=workers,
        )
        return [(b.clips.tobytes(), b.labels.tolist(), [i for i, _ in b.failed]) for b in batches]

    base = epoch(0, False)
    assert sorted(i for _, _, failed in base for i in failed) == [4, 5]
    assert base == epoch(2, False) == epoch(2, True)


@pytest.mark.parametrize("name", ["Ollie2.mov", "tc_nasa_13013_rotated.mp4"])
def test_real_clips_with_wrong_headers_or_rotation(shared: Path, name: str) -> None:
    listed = [Sample(shared / "clips" / name, 0, None, 1)]
    plain = ClipDataset(listed, SPEC, train=True, transforms=AUGMENT)
    cached = ClipDataset(listed, SPEC, train=True, transforms=AUGMENT, cache=True)
    for seed in range(2):
        result = outcome(plain, 0, seed)
        assert not isinstance(result, str)
        assert result == outcome(cached, 0, seed)


def test_real_lists_are_read_whole(shared: Path) -> None:
    root = shared / "data" / "railway"
    counts = [
        len(read_list(root / name, root=root, num_classes=4)) for name in ("train.list", "val.list")
    ]
    assert sum(counts) == 232
