"""The embedded dataset: real files, the same every time, and nothing to be had without time."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from infer.clips.decode import read_video
from train.data.lists import read_list
from train.data.motions.__main__ import main
from train.data.motions.clips import (
    CLASSES,
    SPLITS,
    MotionSpec,
    draw_clip,
    draw_order,
    draw_pictures,
    order,
)
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
    arguments += ["--frames", "12"]
    assert main(["--out", str(tmp_path / "new"), *arguments]) == 2
    message = capsys.readouterr().err
    assert all(
        word in message
        for word in ("train is -1", "size is 33", "weakest is 2.0", "growth", "frames is 12")
    )
    assert main(["--out", str(tmp_path / "new"), "--workers", "0"]) == 2
    assert "workers is 0" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("")
    assert main(["--out", str(tmp_path / "file")]) == 2


@pytest.mark.parametrize("label", range(8))
def test_every_class_shows_every_place_once_and_at_each_time_as_often(label: int) -> None:
    orders = [order(label, start=start) for start in range(8)]
    for shown in [*orders, *np.transpose(orders)]:
        assert sorted(shown) == list(range(8))
    # All are drawn, equally often up to chance: 1600 draws, four standard deviations.
    drawn = [tuple(draw_order(np.random.default_rng(k), label)) for k in range(1600)]
    counts = [drawn.count(tuple(shown)) for shown in orders]
    assert sum(counts) == 1600 and min(counts) > 147 and max(counts) < 253


@pytest.mark.parametrize("label", range(8))
def test_steps_lead_along_the_heading_and_jumps_back(label: int) -> None:
    angle = (np.arange(8) + 0.5) * np.pi / 4
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    heading = np.pi / 4 * label
    along = np.array([np.cos(heading), np.sin(heading)])
    for start in range(8):
        places = ring[order(label, start=start)]
        steps = np.diff(places, axis=0, append=places[:1]) @ along
        assert (steps > 0.5).sum() == 6 and (steps < -1.8).sum() == 2


def test_nothing_but_the_order_depends_on_the_label() -> None:
    """A clip is pictures that were drawn without it, and then put in order."""
    spec = dataclasses.replace(SMALL, frames=16)
    for index in range(8):
        seed = [spec.seed, SPLITS.index("test"), index]
        pictures = draw_pictures(spec, np.random.default_rng(seed))
        frames, label = draw_clip(spec, "test", index)
        shown = draw_order(np.random.default_rng([*seed, 1]), label)
        for copy in (0, 1):  # of two frames of each place a network is shown either
            np.testing.assert_array_equal(frames[copy::2], pictures[shown, copy])


class Seen(NamedTuple):
    """Place of the object in one frame, in pixels."""

    x: float
    y: float


def see(frame: np.ndarray) -> Seen:
    """Find the object: the pixels that differ from the background."""
    difference = np.abs(frame - np.median(frame, axis=(0, 1))).sum(axis=2)
    weight = np.clip(difference - 60, 0, 120) / 120
    area = max(weight.sum(), 1.0)
    rows, columns = np.mgrid[: frame.shape[0], : frame.shape[1]]
    return Seen(float((weight * columns).sum() / area), float((weight * rows).sum() / area))


def motion(frames: np.ndarray) -> int:
    """The class as a tracker finds it: the mean direction of the steps."""
    seen = np.array([see(frame) for frame in frames])
    steps = np.diff(seen, axis=0, append=seen[:1])
    x, y = (steps / (np.linalg.norm(steps, axis=1, keepdims=True) + 1e-9)).sum(axis=0)
    return round(np.arctan2(y, x) / (2 * np.pi) * len(CLASSES)) % len(CLASSES)


def test_the_label_is_in_the_order_of_the_frames_only() -> None:
    spec, clips = MotionSpec(), 240
    rng = np.random.default_rng(0)
    right = dict.fromkeys(("as filmed", "shuffled", "one frame"), 0)
    for index in range(clips):
        frames, label = draw_clip(spec, "test", index)
        frames = frames[::2]  # what the networks see
        still = np.repeat(frames[4:5], len(frames), axis=0)
        right["as filmed"] += motion(frames) == label
        right["shuffled"] += motion(rng.permutation(frames)) == label
        right["one frame"] += motion(still) == label
    share = {name: count / clips for name, count in right.items()}
    chance = 1 / len(CLASSES)
    assert share["as filmed"] > 0.85, share
    # 240 clips: three standard deviations are six points.
    assert abs(share["one frame"] - chance) < 0.065, share
    assert abs(share["shuffled"] - chance) < 0.065, share


def test_training_clips_are_easier_across_the_heading_only() -> None:
    """What tells the label is as large as in a test; what does not, is smaller on average."""
    ranges: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    spec = dataclasses.replace(MotionSpec(), growth=1.0, background=0.0, noise=0.0)
    for split, rows in ranges.items():
        for index in range(0, 400, 4):  # headings right and left
            frames, label = draw_clip(spec, split, index)
            assert label in (0, 4)
            rows.append(np.ptp([see(frame) for frame in frames], axis=0))
    along, across = np.transpose([np.mean(rows, axis=0) for rows in ranges.values()])
    assert along[0] == pytest.approx(along[1], rel=0.05)
    assert across[0] < 0.8 * across[1] and across[1] == pytest.approx(along[1], rel=0.05)


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
