"""From official files to lists that training reads: videos that are missing, broken, or fine."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from infer.clips.decode import read_video
from infer.clips.frames_folder import read_frames_folder
from tests.train.data.crashing import crash_on_seven
from tests.train.data.prepared import CLASSES, run, ucf_annotations
from tests.train.data.test_prepare_download import Server, server  # noqa: F401
from train.config.schema.data import Dataset, ListFile
from train.config.yaml_file import parse_document
from train.data.lists import read_list
from train.data.prepare.__main__ import main
from train.data.prepare.media import Work
from train.data.prepare.sources import DATASETS
from train.data.prepare.videos import process


@pytest.fixture
def ucf(tmp_path: Path, ucf_clips: Path) -> Path:
    """The dataset as a user has it: one video missing, one broken."""
    ucf = tmp_path / "ucf"
    ucf_annotations(ucf / "annotations/ucfTrainTestlist")
    shutil.copytree(ucf_clips, ucf / "videos")
    (ucf / "videos/UCF-101/ApplyEyeMakeup/v_train_1.avi").unlink()
    (ucf / "videos/UCF-101/HandstandPushups/v_test_2.avi").write_bytes(b"no video")
    return ucf


def in_a_config(said: str) -> Dataset:
    """The block that the command prints, as a config reads it."""
    return Dataset(**parse_document(said[said.index("DATASET:") :], "said").data["DATASET"])


def test_lists_of_all_splits_and_a_report_of_the_rest(
    ucf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(ucf, status=1)
    said = capsys.readouterr().out
    assert "licence: For research" in said
    assert said.endswith("train2.list, test2.list, train3.list, test3.list\n")
    data = in_a_config(said)
    assert data.root == str(ucf) and data.classes == "lists/classes.txt" and data.test is None
    listed = {"format": "VideoDataset", "data_prefix": "videos"}
    assert data.train == ListFile(file_path="lists/train1.list", **listed)
    assert data.valid == ListFile(file_path="lists/test1.list", **listed)
    assert (ucf / "lists/classes.txt").read_text().split() == list(CLASSES)
    assert report["train1"]["missing"] == ["ApplyEyeMakeup/v_train_1"]
    assert report["test2"]["broken"] == {
        "UCF-101/HandstandPushups/v_test_2.avi": "not a video, but a text file"
    }
    for split, found in report.items():
        samples = read_list(ucf / f"lists/{split}.list", root=ucf / "videos", num_classes=2)
        assert len(samples) == found["listed"] == 2 - (split in ("train1", "test2"))
        assert all(s.path.parent.name == CLASSES[s.label] for s in samples)
        assert found["annotated"] == 2


def test_a_second_run_looks_only_at_what_changed(
    ucf: Path, ucf_clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import train.data.prepare.media as media

    looked: list[str] = []

    def counting(look: Callable[..., object]) -> Callable[..., object]:
        def counted(path: Path, *more: object) -> object:
            looked.append(Path(path).name)
            return look(path, *more)

        return counted

    for name in ("each_frame", "check_first_frame"):
        monkeypatch.setattr(media, name, counting(getattr(media, name)))
    run(ucf, status=1)
    assert len(looked) == 11
    name = "UCF-101/HandstandPushups/v_test_2.avi"
    shutil.copy(ucf_clips / name, ucf / "videos" / name)
    with open(ucf / "lists/journal.jsonl", "a") as journal:
        journal.write('{"path": "UCF-101/Apply')  # killed within a line
    looked.clear()
    assert run(ucf, status=1)["test2"]["broken"] == {}
    assert looked == ["v_test_2.avi"]
    looked.clear()
    run(ucf, status=1)
    assert not looked
    # A network drive may have been away: what could not be read is tried again.
    (ucf / "videos" / name).write_bytes(b"no video")
    run(ucf, status=1)
    run(ucf, status=1)
    assert looked == ["v_test_2.avi"] * 2
    looked.clear()
    run(ucf, "--check", "full", status=1)
    assert len(looked) == 11


def same_frames(found: np.ndarray, original: np.ndarray) -> bool:
    """Each frame is like its original, and not like the one after it."""
    height, width = found.shape[1:3]
    smaller = np.stack(
        [cv2.resize(f, (width, height), interpolation=cv2.INTER_AREA) for f in original]
    )
    off = np.abs(found.astype(int) - smaller).mean(axis=(1, 2, 3))
    other = np.abs(found.astype(int) - np.roll(smaller, 1, axis=0)).mean(axis=(1, 2, 3))
    return bool((off < 6).all() and (other > 30).all())


def test_frames_of_the_wanted_size_that_a_list_describes(ucf: Path) -> None:
    run(ucf, "--frames", "--short-side", "24", status=1)
    samples = read_list(
        ucf / "lists/train2.list", root=ucf / "frames", format="FrameDataset", num_classes=2
    )
    assert [sample.frames for sample in samples] == [5, 5]
    for sample in samples:
        frames, _ = read_frames_folder(sample.path, range)
        video = (ucf / "videos" / sample.path.relative_to(ucf / "frames")).with_suffix(".avi")
        original, _ = read_video(video, range)
        assert frames.shape == (5, 24, 32, 3)
        assert same_frames(frames, original)
    assert not list((ucf / "frames").rglob("*.part"))
    # What is gone is made again, what is there is not.
    kept = samples[0].path / "img_00001.jpg"
    before = kept.stat().st_mtime_ns
    shutil.rmtree(samples[1].path)
    run(ucf, "--frames", "--short-side", "24", status=1)
    assert kept.stat().st_mtime_ns == before and (samples[1].path / "img_00005.jpg").is_file()


def test_smaller_videos_have_the_same_frames(ucf: Path) -> None:
    run(ucf, "--short-side", "33", "--workers", "2", status=1)
    (sample, _) = read_list(ucf / "lists/train3.list", root=ucf / "videos_33", num_classes=2)
    small, info = read_video(sample.path, range)
    original, before = read_video(
        (ucf / "videos" / sample.path.relative_to(ucf / "videos_33")).with_suffix(".avi"), range
    )
    assert small.shape == (5, 32, 44, 3)  # 33 x 44, without the odd row
    assert info.fps == before.fps == 10
    assert same_frames(small, original)
    assert not list((ucf / "videos_33").rglob("*.part"))


def test_a_video_that_cannot_be_encoded_costs_nobody_else(
    ucf: Path, write_clip: Callable[..., Path]
) -> None:
    name = "UCF-101/ApplyEyeMakeup/v_test_1.avi"
    write_clip(ucf / "videos" / name, np.zeros((5, 48, 1, 3), np.uint8), codec="mpeg4")
    report = run(ucf, "--short-side", "33", status=1)
    assert report["test1"]["broken"][name].startswith("cannot be encoded: ")
    assert report["test1"]["listed"] == 1 and report["test3"]["listed"] == 2
    assert not list((ucf / "videos_33").rglob("*.part"))


def test_damaged_videos_are_listed_and_named(ucf: Path) -> None:
    file = ucf / "videos/UCF-101/ApplyEyeMakeup/v_test_1.avi"
    data = file.read_bytes()
    last = data.rindex(b"00dc", 0, data.rindex(b"idx1"))
    file.write_bytes(data[: last + 20])  # ends within the last frame
    report = run(ucf, "--check", "full", status=1)
    assert report["test1"]["damaged"] == ["UCF-101/ApplyEyeMakeup/v_test_1.avi"]
    assert report["test1"]["listed"] == 2


def jester(root: Path) -> Path:
    """A little Jester: of its five clips one is empty, one broken, and one has a gap."""
    (root / "annotations").mkdir(parents=True)
    for name, text in {
        "labels": "Swiping Left\nSwiping Right\n",
        "train": "1;Swiping Right\n2;Swiping Left\n3;Swiping Left\n",
        "validation": "4;Swiping Left\n",
        "test": "5\n",
    }.items():
        (root / f"annotations/jester-v1-{name}.csv").write_text(text)
    picture = np.zeros((10, 12, 3), np.uint8)
    for clip, count in (("1", 3), ("2", 1), ("3", 0), ("4", 2), ("5", 2)):
        folder = root / "videos/20bn-jester-v1" / clip
        folder.mkdir(parents=True)
        for number in range(1, count + 1):
            cv2.imwrite(str(folder / f"{number:05}.jpg"), picture)
    (root / "videos/20bn-jester-v1/2/00001.jpg").write_bytes(b"no picture")
    (root / "videos/20bn-jester-v1/4/00007.jpg").write_bytes(b"after a gap")
    return root


MAKING = [("frames", ["--frames"]), ("videos_24", ["--short-side", "24"])]


@pytest.mark.parametrize(("folder", "options"), [*MAKING, ("lists", [])])
def test_a_file_where_a_folder_should_be_is_no_fault_of_the_videos(
    ucf: Path, folder: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (ucf / folder).write_text("in the way")
    assert main(["ucf101", "--root", str(ucf), "--workers", "1", *options]) == 2
    said = capsys.readouterr().err
    assert str(ucf / folder) in said and "cannot be written" in said
    (ucf / folder).unlink()
    report = run(ucf, *options, status=1)
    assert sum(len(split["broken"]) for split in report.values()) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("folder", "options"), MAKING)
def test_a_full_disk_is_no_fault_of_the_videos(
    ucf: Path, folder: str, options: list[str], workers: str
) -> None:
    """Files of more than 500 bytes cannot be written, which the system tells as a full disk."""
    script = (
        "import resource, sys; from train.data.prepare.__main__ import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY)); sys.exit(main())"
    )
    command = ["ucf101", "--root", str(ucf), "--workers", workers, *options]
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert f"error: {ucf / folder}" in done.stderr and "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr and not list((ucf / folder).rglob("*.part"))
    report = run(ucf, *options, status=1)
    assert sum(len(split["broken"]) for split in report.values()) == 1


def test_linked_folders_count_and_those_that_lead_back_do_not(ucf: Path, tmp_path: Path) -> None:
    expected = run(ucf, status=1)
    lists = {file.name: file.read_text() for file in (ucf / "lists").glob("*.list")}
    shutil.rmtree(ucf / "lists")
    for folder in ("videos/UCF-101", "annotations/ucfTrainTestlist"):
        elsewhere = tmp_path / "disk" / folder
        shutil.move(ucf / folder, elsewhere)
        (ucf / folder).symlink_to(elsewhere)
        (elsewhere / "up").symlink_to("..")
        (ucf / folder).with_name("self").symlink_to(".")
        (ucf / folder).with_name("gone").symlink_to("nowhere")
    assert run(ucf, status=1) == expected
    assert {file.name: file.read_text() for file in (ucf / "lists").glob("*.list")} == lists


def test_frames_in_linked_folders(tmp_path: Path) -> None:
    root, elsewhere = jester(tmp_path / "jester"), tmp_path / "disk"
    shutil.move(root / "videos/20bn-jester-v1", elsewhere)
    (root / "videos/20bn-jester-v1").symlink_to(elsewhere)
    (elsewhere / "all").symlink_to(".")
    report = run(root, name="jester", status=1)
    assert report["train"]["listed"] == 1 and report["val"]["listed"] == 1


def test_a_video_that_kills_its_process_is_broken_and_the_others_are_not(tmp_path: Path) -> None:
    paths = [str(number) for number in range(30)]
    work = Work(videos=str(tmp_path))
    found = process(paths, work, tmp_path / "journal", workers=2, do=crash_on_seven)
    assert sorted(found) == sorted(paths)
    assert [path for path in paths if found[path].problem] == ["7"]
    assert "crashed" in found["7"].problem


def test_jesters_folders_of_pictures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = jester(tmp_path / "jester")
    report = run(root, name="jester", status=1)
    data = in_a_config(capsys.readouterr().out)
    listed = {"format": "FrameDataset", "data_prefix": "videos", "suffix": "{:05}.jpg"}
    assert data.train == ListFile(file_path="lists/train.list", **listed)
    assert data.valid == ListFile(file_path="lists/val.list", **listed) and data.test is None
    samples = read_list(
        root / "lists/train.list",
        root=root / "videos",
        format="FrameDataset",
        num_classes=2,
        suffix="{:05}.jpg",
    )
    assert [(s.path.name, s.frames, s.label) for s in samples] == [("1", 3, 1)]
    assert list(report["train"]["broken"]) == ["20bn-jester-v1/2"]
    assert report["train"]["missing"] == ["3"]  # an empty folder
    assert report["val"]["damaged"] == ["20bn-jester-v1/4"]
    assert report["val"]["gaps"] == {"20bn-jester-v1/4": "frames 3 to 6"}
    assert (root / "lists/test.unlabelled").read_text() == "20bn-jester-v1/5 2\n"
    assert not (root / "lists/test.list").exists()


def test_folders_of_pictures_numbered_from_zero(tmp_path: Path) -> None:
    root = jester(tmp_path / "jester")
    folder = root / "videos/20bn-jester-v1/1"
    (folder / "00003.jpg").rename(folder / "00000.jpg")
    assert "20bn-jester-v1/1" not in run(root, name="jester", status=1)["train"]["gaps"]
    samples = read_list(
        root / "lists/train.list", root=root / "videos", format="FrameDataset", suffix="{:05}.jpg"
    )
    assert [(s.path, s.frames) for s in samples] == [(folder, 3)]
    assert len(read_frames_folder(folder, range, suffix="{:05}.jpg", frames=3)[0]) == 3


def test_what_cannot_be_done_says_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*options: str) -> str:
        assert main([*options, "--root", str(tmp_path / "x")]) == 2
        return capsys.readouterr().err

    assert "--download, or put train.csv" in fail("kinetics400")
    for name in ("ssv2", "jester"):
        said = fail(name, "--download")
        assert "downloaded" in said and DATASETS[name].home in said
    assert "frames already" in fail("jester", "--frames")
    assert "--short-side is 2, allowed: 16 or more" in fail("ucf101", "--short-side", "2")
    ucf_annotations(tmp_path / "x/annotations")
    (tmp_path / "x/videos").mkdir()
    assert "none of the 12" in fail("ucf101")
    (tmp_path / "x/annotations/trainlist02.txt").unlink()
    assert "lacks trainlist02.txt" in fail("ucf101")
