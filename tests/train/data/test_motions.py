"""The embedded dataset: real files, the same every time, and nothing to be had without time."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.clips.decode import read_video
from train.data.lists import read_list
from train.data.motions.__main__ import main
from train.data.motions.clips import CLASSES, MotionSpec, draw_clip, ways
from train.data.motions.dataset import make_dataset

ROOT = Path(__file__).resolve().parents[3]
SMALL = MotionSpec(train=16, val=8, test=8, size=32, frames=8, label_noise=0.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    folder = tmp_path_factory.mktemp("motions")
    return folder, make_dataset(folder, SMALL, workers=1)


def test_files_are_videos_of_the_drawn_frames(dataset: tuple[Path, dict[str, str]]) -> None:
    folder, _ = dataset
    samples = read_list(folder / "val.list", root=folder, num_classes=len(CLASSES))
    assert [sample.label for sample in samples] == list(range(8))
    assert (folder / "classes.txt").read_text().split() == list(CLASSES)
    frames, info = read_video(samples[3].path, range)
    assert (info.frames, info.codec) == (8, "h264")
    drawn, label = draw_clip(SMALL, "val", 3)
    assert label == 3
    assert np.abs(frames.astype(int) - drawn).mean() < 12


def test_the_same_settings_give_the_same_files(
    dataset: tuple[Path, dict[str, str]], tmp_path: Path
) -> None:
    _, checksums = dataset
    assert make_dataset(tmp_path, SMALL, workers=2) == checksums
    assert json.loads((tmp_path / "dataset.json").read_text())["sha256"] == checksums


def test_the_checksum_shown_beside_a_list_is_that_files(
    dataset: tuple[Path, dict[str, str]], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, checksums = dataset
    arguments = [
        part
        for field in dataclasses.fields(MotionSpec)
        for part in ("--" + field.name.replace("_", "-"), str(getattr(SMALL, field.name)))
    ]
    assert main(["--out", str(folder), *arguments]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(checksums) == 3
    for line, (split, whole) in zip(lines, checksums.items(), strict=True):
        file = folder / f"{split}.list"
        assert line.startswith(str(file))
        after = line.partition("sha256 ")[2]
        assert after.startswith(hashlib.sha256(file.read_bytes()).hexdigest()[:16])
        assert after.endswith(f"with all clips {whole[:16]}")


def test_files_do_not_depend_on_what_is_in_memory(tmp_path: Path, root: Path) -> None:
    """glibc fills fresh memory with a byte of our choice: what reads it too early, differs."""
    outputs = []
    for byte in ("85", "170"):
        folder = tmp_path / byte
        command = [sys.executable, "-m", "train.data.motions", "--out", str(folder)]
        command += ["--train", "8", "--val", "24", "--test", "8", "--workers", "1"]
        environment = {**os.environ, "MALLOC_PERTURB_": byte, "PYTHONPATH": str(root)}
        subprocess.run(command, env=environment, check=True, capture_output=True)
        outputs.append(json.loads((folder / "dataset.json").read_text())["sha256"])
    assert outputs[0] == outputs[1]


def test_a_stopped_generation_goes_on_and_other_settings_start_anew(tmp_path: Path) -> None:
    checksums = make_dataset(tmp_path, SMALL, workers=1)
    lost, kept = tmp_path / "test" / "00002.mp4", tmp_path / "test" / "00003.mp4"
    lost.unlink()
    before = kept.stat().st_mtime_ns
    assert make_dataset(tmp_path, SMALL, workers=1) == checksums
    assert kept.stat().st_mtime_ns == before and lost.exists()
    other = dataclasses.replace(SMALL, noise=9.0)
    assert make_dataset(tmp_path, other, workers=1) != checksums
    assert kept.stat().st_mtime_ns != before


@pytest.mark.parametrize("damage", [b"", b"no clip", None])
def test_a_clip_that_changed_afterwards_is_made_again(tmp_path: Path, damage: bytes | None) -> None:
    checksums = make_dataset(tmp_path, SMALL, workers=1)
    clip = tmp_path / "test" / "00002.mp4"
    whole = clip.read_bytes()
    flipped = bytearray(whole)
    flipped[-5] ^= 1  # a frame may decode all the same
    clip.write_bytes(flipped if damage is None else damage)
    assert make_dataset(tmp_path, SMALL, workers=1) == checksums
    assert clip.read_bytes() == whole


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_full_disk_is_told_and_what_was_made_stays(
    tmp_path: Path, root: Path, workers: str
) -> None:
    """A largest size of files is a disk that is full for some of them only."""
    out = tmp_path / "d"
    code = (
        "import resource, signal, sys; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), resource.RLIM_INFINITY));"
        "from train.data.motions.__main__ import main; sys.exit(main(sys.argv[2:]))"
    )
    arguments = ["--out", str(out), "--train", "16", "--val", "8", "--test", "8"]
    command = [sys.executable, "-c", code, "4096", *arguments, "--workers", workers]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr and "cannot be written" in done.stderr
    assert os.strerror(errno.EFBIG) in done.stderr
    assert not list(out.glob("*/.*"))
    assert main(arguments) == 0
    assert len(list(out.glob("*/*.mp4"))) == 32


def test_a_folder_of_somebody_else_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--out", str(tmp_path), "--train", "8", "--val", "8", "--test", "8"]
    beach = tmp_path / "train" / "beach.mp4"
    beach.parent.mkdir()
    beach.write_bytes(b"mine")
    for record in (None, "{", "[]", "{}"):
        if record is not None:
            (tmp_path / "dataset.json").write_text(record)
        assert main(arguments) == 2
        assert "something else" in capsys.readouterr().err
        assert beach.read_bytes() == b"mine" and not (tmp_path / "train.list").exists()


def test_label_noise_is_in_the_training_list_only(tmp_path: Path) -> None:
    arguments = ["--out", str(tmp_path), "--train", "200", "--val", "8", "--test", "8"]
    arguments += ["--size", "16", "--frames", "8", "--label-noise", "0.3", "--workers", "1"]
    assert main(arguments) == 0

    def wrong(split: str) -> float:
        lines = (tmp_path / f"{split}.list").read_text().splitlines()
        return float(np.mean([int(line.split()[1]) != i % 8 for i, line in enumerate(lines)]))

    assert 0.2 < wrong("train") < 0.4
    assert wrong("val") == wrong("test") == 0


def test_settings_out_of_range_are_told_together(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--train", "-1", "--size", "33", "--weakest", "2", "--growth", "inf"]
    assert main(["--out", str(tmp_path / "new"), *arguments]) == 2
    message = capsys.readouterr().err
    assert all(
        word in message for word in ("train is -1", "size is 33", "weakest is 2.0", "growth")
    )
    assert main(["--out", str(tmp_path / "new"), "--workers", "0"]) == 2
    assert "workers is 0" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file")]) == 2


@given(
    frames=st.integers(4, 20).map(lambda half: 2 * half),
    label=st.integers(0, 7),
    seed=st.integers(0, 2**32),
)
def test_what_moves_and_what_does_not_visit_the_same_values(
    frames: int, label: int, seed: int
) -> None:
    rows = ways(np.random.default_rng(seed), frames=frames, label=label)
    values = (np.arange(frames) + 0.5) * 2 / frames - 1
    np.testing.assert_allclose(np.sort(rows), np.tile(values, (4, 1)), atol=1e-12)
    moving, backwards = divmod(label, 2)
    steps = np.diff(rows[moving])
    back_to_the_start = np.abs(steps) > 2.01 / frames * (frames - 2)
    assert back_to_the_start.sum() <= 1
    assert ((steps[~back_to_the_start] < 0) == bool(backwards)).all()
    # Come back to where they began, to and fro never steps further than over two pairs of values.
    others = np.delete(np.abs(np.diff(rows, append=rows[:, :1])), moving, axis=0)
    assert others.max() < 2.01 * 5 / frames
    # And what a network is shown of them turns round twice.
    for row in np.delete(rows, moving, axis=0):
        ways_round = np.sign(np.diff(row[1::2], append=row[1:2]))
        assert (ways_round != np.roll(ways_round, 1)).sum() == 2


@given(
    frames=st.integers(4, 20).map(lambda half: 2 * half),
    label=st.integers(0, 7),
    first=st.integers(0, 1),
    seed=st.integers(0, 2**32),
)
def test_every_second_frame_visits_the_same_values_too(
    frames: int, label: int, first: int, seed: int
) -> None:
    """A network is shown eight of sixteen frames: what they show together is all it has."""
    rows = ways(np.random.default_rng(seed), frames=frames, label=label)[:, first::2]
    evenly = (np.arange(0, frames, 2) + 0.5) * 2 / frames - 1
    for row in rows:
        shift = np.sort(row) - evenly  # a whole step, or none, by where the row starts
        assert np.ptp(shift) < 1e-12 and min(abs(shift[0]), abs(shift[0] - 2 / frames)) < 1e-12


def test_which_half_of_the_values_is_visited_does_not_hang_on_the_label() -> None:
    counts = np.zeros((2, 4), int)  # moves or not, attribute
    for seed in range(2000):
        rows = ways(np.random.default_rng(seed), frames=16, label=seed % 8)[:, 1::2]
        lower = rows.min(axis=1) < -0.9
        counts[1] += lower
        counts[0, seed % 8 // 2] += lower[seed % 8 // 2]
    share = [counts[0] / 500, (counts[1] - counts[0]) / 1500]
    np.testing.assert_allclose(share, 0.5, atol=0.08)  # three standard deviations of 500


class Seen(NamedTuple):
    """What one frame shows of the object: place, log of its radius, its picture by angles."""

    x: float
    y: float
    size: float
    around: np.ndarray


def see(frame: np.ndarray) -> Seen:
    """Find the object: the pixels that differ from the background."""
    difference = np.abs(frame - np.median(frame, axis=(0, 1))).sum(axis=2)
    weight = np.clip(difference - 60, 0, 120) / 120
    area = max(weight.sum(), 1.0)
    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]]
    x, y = float((weight * columns).sum() / area), float((weight * rows).sum() / area)
    radius = float(np.sqrt(area / np.pi))
    flags = cv2.WARP_POLAR_LINEAR | cv2.WARP_FILL_OUTLIERS
    around = cv2.warpPolar(frame.astype(np.float32), (16, 72), (x, y), 2 * radius + 2, flags)
    return Seen(x, y, float(np.log(radius)), around)


def turned(before: np.ndarray, after: np.ndarray) -> int:
    """Clockwise turn between two pictures by angles, in steps of 5 degrees: best correlation."""
    spectrum = np.fft.rfft(before, axis=0).conj() * np.fft.rfft(after, axis=0)
    best = int(np.fft.irfft(spectrum.sum(axis=(1, 2)), n=len(before)).argmax())
    return best if best <= len(before) // 2 else best - len(before)


def motion(frames: np.ndarray) -> int:
    """The class as a tracker finds it: what went most often in one direction."""
    seen = [see(frame) for frame in frames]
    steps = [
        [b.x - a.x, b.y - a.y, b.size - a.size, turned(a.around, b.around)]
        for a, b in itertools.pairwise(seen)
    ]
    moves = np.array(steps, np.float64)
    net = moves.sum(axis=0) / (np.abs(moves).sum(axis=0) + 1e-9)
    one_way = np.sign(moves).sum(axis=0) + 0.01 * net  # the second part decides between equals
    most = int(np.abs(one_way).argmax())
    return 2 * most + int(one_way[most] < 0)


def test_the_label_is_in_the_order_of_the_frames_only() -> None:
    spec, clips = MotionSpec(), 240
    rng = np.random.default_rng(0)
    right = dict.fromkeys(("as filmed", "backwards", "shuffled", "one frame"), 0)
    for index in range(clips):
        frames, label = draw_clip(spec, "test", index)
        frames = frames[::2]  # what the networks see
        still = np.repeat(frames[4:5], len(frames), axis=0)
        right["as filmed"] += motion(frames) == label
        right["backwards"] += motion(frames[::-1]) == (label ^ 1)
        right["shuffled"] += motion(rng.permutation(frames)) == label
        right["one frame"] += motion(still) == label
    share = {name: count / clips for name, count in right.items()}
    chance = 1 / len(CLASSES)
    assert share["as filmed"] > 0.95 and share["backwards"] > 0.95, share
    # 240 clips: three standard deviations are six points.
    assert abs(share["one frame"] - chance) < 0.065, share
    assert abs(share["shuffled"] - chance) < 0.065, share


def test_no_attribute_goes_further_where_it_is_the_one_that_moves() -> None:
    """Else frames without order told which of four it is."""
    spread: list[list[np.ndarray]] = [[], [], [], []]
    for index in range(240):
        frames, label = draw_clip(MotionSpec(), "test", index)
        seen = np.array([see(frame)[:3] for frame in frames[::2]])
        spread[label // 2].append(seen.std(axis=0))
    means = np.array([np.mean(rows, axis=0) for rows in spread])  # moving attribute, attribute
    for attribute in range(3):
        others = np.delete(means[:, attribute], attribute).mean()
        assert means[attribute, attribute] == pytest.approx(others, rel=0.08)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_stop_ends_the_workers_too_and_the_same_command_goes_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "train.data.motions", "--out", str(tmp_path / "d")]
    command += ["--train", "2000", "--val", "8", "--test", "8", "--workers", "2"]
    process = subprocess.Popen(
        command, cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    deadline = time.monotonic() + 60
    while len(list((tmp_path / "d").glob("train/*.mp4"))) < 20:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    # What it says ends when the last process that could write there has.
    said = process.communicate(timeout=30)[1]
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number)
    assert "goes on" in said or number == signal.SIGKILL
    assert "Traceback" not in said
    assert 20 <= len(list((tmp_path / "d").glob("train/*.mp4"))) < 2000
    assert number == signal.SIGKILL or not list((tmp_path / "d").glob("train/.*"))
