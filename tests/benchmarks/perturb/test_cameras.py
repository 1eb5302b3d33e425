"""What each perturbation does to the pixels of a clip."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.perturb import cameras, clips
from benchmarks.perturb.cameras import PERTURBATIONS, Perturbation, chosen_names, generator
from benchmarks.perturb.clips import PerturbedClips, subset
from benchmarks.perturb.h264 import recompressed
from infer.clips.preprocess import load_clips
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.system.errors import VideoError
from train.data.lists import Sample

KEEPS_FRAMES = ("crf28", "crf36", "crf44", "half_resolution", "darker", "noise")


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """uint8 [9, 35, 50, 3]: a bright square that moves over a smooth picture with fine detail."""
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:35, :50]
    picture = 120 + 60 * np.sin(rows / 6) + 40 * np.cos(columns / 4)
    picture = picture[..., None] + rng.normal(0, 12, (35, 50, 3))
    video = np.repeat(picture[None], 9, axis=0)
    for number in range(9):
        video[number, 5:15, 4 * number : 4 * number + 10] += 60
    return np.clip(video, 0, 255).astype(np.uint8)


def perturbed(name: str, frames: np.ndarray, *, seed: int = 0, path: str = "a.mp4") -> np.ndarray:
    return PERTURBATIONS[name].apply(frames, 8.0, generator(seed, name, path))[0]


def distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(((a.astype(float) - b) ** 2).mean())


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_the_same_clip_gets_the_same_pixels(name: str, frames: np.ndarray) -> None:
    given = frames.copy()
    first, second = perturbed(name, given), perturbed(name, given)
    assert np.array_equal(first, second) and np.array_equal(given, frames)
    assert first.dtype == np.uint8 and first.shape[1:] == frames.shape[1:]
    assert (len(first) == len(frames)) == (name in KEEPS_FRAMES)
    assert not np.array_equal(first, frames)


@pytest.mark.parametrize("name", ["dropped_frames", "noise"])
def test_draws_follow_from_clip_perturbation_and_seed(name: str, frames: np.ndarray) -> None:
    video = np.repeat(frames, 5, axis=0)
    drawn = [
        perturbed(name, video).tobytes(),
        perturbed(name, video, path="b.mp4").tobytes(),
        perturbed(name, video, seed=1).tobytes(),
    ]
    assert len(set(drawn)) == 3
    first, second = (generator(0, one, "a").integers(1 << 60) for one in ("noise", "darker"))
    assert first != second


def test_frames_of_a_slower_camera() -> None:
    numbered = np.arange(10, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    assert perturbed("half_rate", numbered)[:, 0, 0, 0].tolist() == [0, 2, 4, 6, 8]
    assert perturbed("third_rate", numbered)[:, 0, 0, 0].tolist() == [0, 3, 6, 9]
    left = perturbed("dropped_frames", numbered)[:, 0, 0, 0].tolist()
    assert len(left) == 10 - round(cameras.DROPPED * 10) and left == sorted(set(left))


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_a_clip_of_one_frame_keeps_it(name: str, frames: np.ndarray) -> None:
    assert perturbed(name, frames[:1]).shape == frames[:1].shape


def test_a_coarser_encoding_is_further_from_the_frames(frames: np.ndarray) -> None:
    far = [distance(perturbed(f"crf{crf}", frames), frames) for crf in (28, 36, 44)]
    assert 0 < far[0] < far[1] < far[2]


@pytest.mark.parametrize("size", [(2, 2), (1, 1), (3, 18), (17, 16)])
def test_frames_of_any_size_come_back_from_h264(size: tuple[int, int]) -> None:
    grey = np.full((3, *size, 3), 90, np.uint8)
    for fps in (0.001, 29.97, 1e6):
        back = recompressed(grey, crf=28, fps=fps)
        assert back.shape == grey.shape and np.abs(back.astype(int) - 90).max() < 12


def test_half_the_resolution_loses_what_is_finer() -> None:
    fine = np.indices((8, 8)).sum(axis=0) % 2 * 200
    chequered = np.repeat(fine[None, :, :, None], 3, axis=3).astype(np.uint8)
    assert (perturbed("half_resolution", chequered) == 100).all()
    smooth = np.full((2, 7, 9, 3), 77, np.uint8)
    assert np.array_equal(perturbed("half_resolution", smooth), smooth)


def test_darker_scales_every_pixel(frames: np.ndarray) -> None:
    expected = np.rint(frames * cameras.DARKER)
    assert np.array_equal(perturbed("darker", frames), expected)


def test_noise_has_the_spread_of_its_model() -> None:
    for level in (60, 120, 180):
        grey = np.full((4, 60, 60, 3), level, np.uint8)
        gap = perturbed("noise", grey).astype(float) - level
        spread = np.sqrt(cameras.READ_NOISE**2 + cameras.SHOT_NOISE * level + 1 / 12)
        assert abs(gap.mean()) < 0.4 and abs(gap.std() / spread - 1) < 0.03


def test_names_of_perturbations() -> None:
    assert chosen_names(["noise", "crf36", "noise"]) == (["crf36", "noise"], [])
    assert chosen_names(["all", "noise"]) == (list(PERTURBATIONS), [])
    assert chosen_names([]) == ([], [])
    names, wrong = chosen_names(["crf99", "noise"])
    assert names == ["noise"] and len(wrong) == 1 and "crf99" in wrong[0] and "crf44" in wrong[0]


SPEC = ClipSpec(SamplingSpec(num_seg=3), PreprocessSpec(short_size=16, crop=16))


@pytest.fixture
def video(tmp_path: Path, frames: np.ndarray, write_clip: Callable[..., Path]) -> Path:
    return write_clip(tmp_path / "clips" / "a.mp4", frames[:, :34])


def test_frames_are_perturbed_before_they_are_sampled(
    video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample = Sample(video, 2, None, 1)
    seen = []

    def nothing(frames: np.ndarray, fps: float, rng: np.random.Generator) -> np.ndarray:
        seen.append((frames.shape, fps))
        return frames

    monkeypatch.setitem(PERTURBATIONS, "none", Perturbation("", "", nothing))
    dataset = PerturbedClips([sample], SPEC, name="none", seed=0, root=video.parent)
    read, label = dataset.read(0, rng=None)
    assert seen == [((9, 34, 50, 3), 10.0)] and label == 2
    assert np.array_equal(read, load_clips(video, SPEC)[0])


def test_sampling_by_time_knows_of_the_frames_that_are_left(
    tmp_path: Path, write_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    levels = np.arange(10, 250, 20, dtype=np.uint8)
    video = write_clip(tmp_path / "a.mp4", np.tile(levels[:, None, None, None], (1, 16, 16, 3)))
    late = Perturbation("", "", keep=lambda count, rng: np.array([0, 1, 2, 11]))
    monkeypatch.setitem(PERTURBATIONS, "late", late)
    for by, expected in (("frame", [0, 1, 2, 11]), ("time", [1, 2, 2, 2])):
        spec = ClipSpec(SamplingSpec(num_seg=4, by=by), PreprocessSpec(short_size=16, crop=16))
        dataset = PerturbedClips([Sample(video, 0, None, 1)], spec, name="late", seed=0, root=None)
        means = dataset.read(0, rng=None)[0][0].mean(axis=(1, 2, 3))
        assert np.rint((means - 10) / 20).tolist() == expected


@pytest.mark.parametrize("square", [True, False])
def test_pixels_that_are_no_squares_and_arrays_go_the_road_of_deployment(
    tmp_path: Path, frames: np.ndarray, square: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    preprocess = PreprocessSpec(short_size=16, crop=16, fixed_ratio=False, square_pixels=square)
    spec = ClipSpec(SamplingSpec(num_seg=3), preprocess)
    np.save(tmp_path / "a.npy", frames)
    wide = tmp_path / "wide.mp4"
    with av.open(str(wide), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        stream.height, stream.width, stream.pix_fmt = 34, 50, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(2, 1)
        stream.codec_context.thread_count = 1
        for frame in frames[:, :34]:
            picture = np.ascontiguousarray(frame)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    monkeypatch.setitem(PERTURBATIONS, "none", Perturbation("", ""))
    for path in (tmp_path / "a.npy", wide):
        sample = Sample(path, 0, None, 1)
        dataset = PerturbedClips([sample], spec, name="none", seed=0, root=None)
        assert np.array_equal(dataset.read(0, rng=None)[0], load_clips(path, spec)[0])


def test_pixels_depend_on_the_path_below_the_root_alone(
    video: Path, tmp_path: Path, frames: np.ndarray, write_clip: Callable[..., Path]
) -> None:
    elsewhere = write_clip(tmp_path / "other" / "a.mp4", frames[:, :34])
    renamed = write_clip(tmp_path / "other" / "b.mp4", frames[:, :34])

    def read(path: Path, **more: bool) -> np.ndarray:
        sample = Sample(path, 0, None, 1)
        dataset = PerturbedClips([sample], SPEC, name="noise", seed=3, root=path.parent, **more)
        dataset.read(0, rng=None)[0][:] = 0  # what is kept is not what a caller changes
        return dataset.read(0, rng=None)[0]

    first = read(video)
    assert first.any()
    assert np.array_equal(first, read(elsewhere)) and np.array_equal(first, read(video, cache=True))
    assert not np.array_equal(first, read(renamed))


def test_a_clip_that_cannot_be_perturbed_is_told_by_its_reason(
    video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "no.mp4").write_bytes(b"this is no video")
    samples = [Sample(video, 0, None, 1), Sample(tmp_path / "no.mp4", 0, None, 2)]
    dataset = PerturbedClips(samples, SPEC, name="crf28", seed=0, root=None)
    assert len(dataset.read(0, rng=None)[0]) == 1
    with pytest.raises(VideoError):
        dataset.read(1, rng=None)
    monkeypatch.setattr(clips, "MOST_BYTES", 3 * 34 * 50 * 3)
    with pytest.raises(VideoError, match="GiB"):
        dataset.read(0, rng=None)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 70), st.integers(0, 3))
def test_a_subset_keeps_order_and_shares(labels: list[int], count: int, seed: int) -> None:
    samples = [Sample(Path(f"{k}.mp4"), label, None, k) for k, label in enumerate(labels)]
    chosen = subset(samples, count, seed=seed)
    assert chosen == subset(samples, count, seed=seed)
    whole = not 0 < count < len(labels)
    assert len(chosen) == (len(labels) if whole else count)
    lines = [sample.line for sample in chosen]
    assert lines == sorted(set(lines))
    for label in set(labels):
        share = labels.count(label) * len(chosen) / len(labels)
        assert abs(sum(sample.label == label for sample in chosen) - share) < 1


def test_a_subset_is_drawn_anew_by_each_seed() -> None:
    samples = [Sample(Path(f"{k}.mp4"), k % 2, None, k) for k in range(200)]
    assert subset(samples, 50, seed=0) != subset(samples, 50, seed=1)


def test_the_documentation_has_every_perturbation_with_its_numbers(root: Path) -> None:
    text = (root / "docs" / "gate.md").read_text(encoding="utf-8")
    for name, one in PERTURBATIONS.items():
        assert f"| `{name}` | {one.title} | {one.about} |" in text
    assert f"{clips.MOST_BYTES / 2**30:g} GiB" in text
