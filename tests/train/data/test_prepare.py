"""From official files to lists that training reads: videos that are missing, broken, or fine."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from infer.clips.decode import read_video
from infer.clips.frames_folder import read_frames_folder
from tests.train.data.test_prepare_download import Server, server  # noqa: F401
from train.config.schema.data import Dataset, ListFile
from train.config.yaml_file import parse_document
from train.data.lists import read_list
from train.data.prepare.__main__ import main
from train.data.prepare.download import TRIES
from train.data.prepare.media import Outcome, Work
from train.data.prepare.sources import ANNOTATIONS, DATASETS, VIDEOS, Source
from train.data.prepare.unpack import UnpackError, unpack
from train.data.prepare.videos import process

CLASSES = ("ApplyEyeMakeup", "HandstandPushups")


def ucf_annotations(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f"{i} {name}\n" for i, name in enumerate(CLASSES, 1)]
    (folder / "classInd.txt").write_text("".join(lines))
    for number in (1, 2, 3):
        for part in ("train", "test"):
            videos = [f"{name}/v_{part}_{number}.avi" for name in CLASSES]
            (folder / f"{part}list{number:02d}.txt").write_text("\n".join(videos) + "\n")
    return folder


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """All twelve videos of a little UCF101: five frames of 48 x 64 pixels."""
    folder = tmp_path_factory.mktemp("ucf")
    rng = np.random.default_rng(0)
    for name in CLASSES:
        for number in (1, 2, 3):
            for part in ("train", "test"):
                cells = rng.integers(0, 256, (5, 3, 4, 3), dtype=np.uint8)
                frames = np.stack([cv2.resize(frame, (64, 48)) for frame in cells])
                file = folder / f"UCF-101/{name}/v_{part}_{number}.avi"
                write_clip(file, frames, codec="mpeg4")
    return folder


@pytest.fixture
def root(tmp_path: Path, clips: Path) -> Path:
    """The dataset as a user has it: one video missing, one broken."""
    root = tmp_path / "ucf"
    ucf_annotations(root / "annotations/ucfTrainTestlist")
    shutil.copytree(clips, root / "videos")
    (root / "videos/UCF-101/ApplyEyeMakeup/v_train_1.avi").unlink()
    (root / "videos/UCF-101/HandstandPushups/v_test_2.avi").write_bytes(b"no video")
    return root


def run(root: Path, *options: str, name: str = "ucf101", status: int = 0) -> dict[str, dict]:
    assert main([name, "--root", str(root), "--workers", "1", *options]) == status
    report: dict[str, dict] = json.loads((root / "lists/report.json").read_text())
    return report


def in_a_config(said: str) -> Dataset:
    """The block that the command prints, as a config reads it."""
    return Dataset(**parse_document(said[said.index("DATASET:") :], "said").data["DATASET"])


def test_lists_of_all_splits_and_a_report_of_the_rest(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = run(root, status=1)
    said = capsys.readouterr().out
    assert "licence: For research" in said
    assert said.endswith("train2.list, test2.list, train3.list, test3.list\n")
    data = in_a_config(said)
    assert data.root == str(root) and data.classes == "lists/classes.txt" and data.test is None
    listed = {"format": "VideoDataset", "data_prefix": "videos"}
    assert data.train == ListFile(file_path="lists/train1.list", **listed)
    assert data.valid == ListFile(file_path="lists/test1.list", **listed)
    assert (root / "lists/classes.txt").read_text().split() == list(CLASSES)
    assert report["train1"]["missing"] == ["ApplyEyeMakeup/v_train_1"]
    assert report["test2"]["broken"] == {
        "UCF-101/HandstandPushups/v_test_2.avi": "not a video, but a text file"
    }
    for split, found in report.items():
        samples = read_list(root / f"lists/{split}.list", root=root / "videos", num_classes=2)
        assert len(samples) == found["listed"] == 2 - (split in ("train1", "test2"))
        assert all(s.path.parent.name == CLASSES[s.label] for s in samples)
        assert found["annotated"] == 2


def test_a_second_run_looks_only_at_what_changed(
    root: Path, clips: Path, monkeypatch: pytest.MonkeyPatch
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
    run(root, status=1)
    assert len(looked) == 11
    name = "UCF-101/HandstandPushups/v_test_2.avi"
    shutil.copy(clips / name, root / "videos" / name)
    with open(root / "lists/journal.jsonl", "a") as journal:
        journal.write('{"path": "UCF-101/Apply')  # killed within a line
    looked.clear()
    assert run(root, status=1)["test2"]["broken"] == {}
    assert looked == ["v_test_2.avi"]
    looked.clear()
    run(root, status=1)
    assert not looked
    # A network drive may have been away: what could not be read is tried again.
    (root / "videos" / name).write_bytes(b"no video")
    run(root, status=1)
    run(root, status=1)
    assert looked == ["v_test_2.avi"] * 2
    looked.clear()
    run(root, "--check", "full", status=1)
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


def test_frames_of_the_wanted_size_that_a_list_describes(root: Path) -> None:
    run(root, "--frames", "--short-side", "24", status=1)
    samples = read_list(
        root / "lists/train2.list", root=root / "frames", format="FrameDataset", num_classes=2
    )
    assert [sample.frames for sample in samples] == [5, 5]
    for sample in samples:
        frames, _ = read_frames_folder(sample.path, range)
        video = (root / "videos" / sample.path.relative_to(root / "frames")).with_suffix(".avi")
        original, _ = read_video(video, range)
        assert frames.shape == (5, 24, 32, 3)
        assert same_frames(frames, original)
    assert not list((root / "frames").rglob("*.part"))
    # What is gone is made again, what is there is not.
    kept = samples[0].path / "img_00001.jpg"
    before = kept.stat().st_mtime_ns
    shutil.rmtree(samples[1].path)
    run(root, "--frames", "--short-side", "24", status=1)
    assert kept.stat().st_mtime_ns == before and (samples[1].path / "img_00005.jpg").is_file()


def test_smaller_videos_have_the_same_frames(root: Path) -> None:
    run(root, "--short-side", "33", "--workers", "2", status=1)
    (sample, _) = read_list(root / "lists/train3.list", root=root / "videos_33", num_classes=2)
    small, info = read_video(sample.path, range)
    original, before = read_video(
        (root / "videos" / sample.path.relative_to(root / "videos_33")).with_suffix(".avi"), range
    )
    assert small.shape == (5, 32, 44, 3)  # 33 x 44, without the odd row
    assert info.fps == before.fps == 10
    assert same_frames(small, original)
    assert not list((root / "videos_33").rglob("*.part"))


def test_a_video_that_cannot_be_encoded_costs_nobody_else(
    root: Path, write_clip: Callable[..., Path]
) -> None:
    name = "UCF-101/ApplyEyeMakeup/v_test_1.avi"
    write_clip(root / "videos" / name, np.zeros((5, 48, 1, 3), np.uint8), codec="mpeg4")
    report = run(root, "--short-side", "33", status=1)
    assert report["test1"]["broken"][name].startswith("cannot be encoded: ")
    assert report["test1"]["listed"] == 1 and report["test3"]["listed"] == 2
    assert not list((root / "videos_33").rglob("*.part"))


def test_damaged_videos_are_listed_and_named(root: Path) -> None:
    file = root / "videos/UCF-101/ApplyEyeMakeup/v_test_1.avi"
    data = file.read_bytes()
    last = data.rindex(b"00dc", 0, data.rindex(b"idx1"))
    file.write_bytes(data[: last + 20])  # ends within the last frame
    report = run(root, "--check", "full", status=1)
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
    root: Path, folder: str, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    (root / folder).write_text("in the way")
    assert main(["ucf101", "--root", str(root), "--workers", "1", *options]) == 2
    said = capsys.readouterr().err
    assert str(root / folder) in said and "cannot be written" in said
    (root / folder).unlink()
    report = run(root, *options, status=1)
    assert sum(len(split["broken"]) for split in report.values()) == 1


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize(("folder", "options"), MAKING)
def test_a_full_disk_is_no_fault_of_the_videos(
    root: Path, folder: str, options: list[str], workers: str
) -> None:
    """Files of more than 500 bytes cannot be written, which the system tells as a full disk."""
    script = (
        "import resource, sys; from train.data.prepare.__main__ import main; "
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY)); sys.exit(main())"
    )
    command = ["ucf101", "--root", str(root), "--workers", workers, *options]
    done = subprocess.run(
        [sys.executable, "-B", "-c", script, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert f"error: {root / folder}" in done.stderr and "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr and not list((root / folder).rglob("*.part"))
    report = run(root, *options, status=1)
    assert sum(len(split["broken"]) for split in report.values()) == 1


def test_linked_folders_count_and_those_that_lead_back_do_not(root: Path, tmp_path: Path) -> None:
    expected = run(root, status=1)
    lists = {file.name: file.read_text() for file in (root / "lists").glob("*.list")}
    shutil.rmtree(root / "lists")
    for folder in ("videos/UCF-101", "annotations/ucfTrainTestlist"):
        elsewhere = tmp_path / "disk" / folder
        shutil.move(root / folder, elsewhere)
        (root / folder).symlink_to(elsewhere)
        (elsewhere / "up").symlink_to("..")
        (root / folder).with_name("self").symlink_to(".")
        (root / folder).with_name("gone").symlink_to("nowhere")
    assert run(root, status=1) == expected
    assert {file.name: file.read_text() for file in (root / "lists").glob("*.list")} == lists


def test_frames_in_linked_folders(tmp_path: Path) -> None:
    root, elsewhere = jester(tmp_path / "jester"), tmp_path / "disk"
    shutil.move(root / "videos/20bn-jester-v1", elsewhere)
    (root / "videos/20bn-jester-v1").symlink_to(elsewhere)
    (elsewhere / "all").symlink_to(".")
    report = run(root, name="jester", status=1)
    assert report["train"]["listed"] == 1 and report["val"]["listed"] == 1


def crash_on_seven(job: tuple[str, Work]) -> tuple[str, Outcome]:
    if job[0] == "7":
        os._exit(9)
    return job[0], Outcome(job[0])


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


# --- downloads -----------------------------------------------------------------------------------


def zipped(folder: Path) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                archive.write(file, file.relative_to(folder))
    return content.getvalue()


def tarred(folder: Path) -> bytes:
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        archive.add(folder, arcname=".")
    return content.getvalue()


@pytest.fixture
def unrar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program of that name that unpacks zip files, in place of one for RAR."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = "import sys, zipfile; zipfile.ZipFile(sys.argv[4]).extractall(sys.argv[5])"
    (folder / "unrar").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{script}" "$@"\n')
    (folder / "unrar").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def test_a_download_that_breaks_off_ends_in_lists(
    tmp_path: Path,
    clips: Path,
    unrar: Path,
    server: Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.files["/splits.zip"] = zipped(ucf_annotations(tmp_path / "made"))
    server.files["/UCF101.rar"] = zipped(clips)
    sources = (
        Source(server.url("/splits.zip"), ANNOTATIONS),
        Source(server.url("/UCF101.rar"), VIDEOS),
    )
    dataset = dataclasses.replace(DATASETS["ucf101"], sources=sources)
    monkeypatch.setitem(DATASETS, "ucf101", dataset)
    server.breaks = [100, 1 << 30, 5000, 2000]
    server.statuses = [503] * TRIES  # of the requests for the sizes
    report = run(tmp_path / "ucf", "--download")
    assert all(split["listed"] == 2 for split in report.values())
    assert "to fetch: 2 files, at least 0.00 GB" in capsys.readouterr().out
    left = [path.name for path in (tmp_path / "ucf/downloads").iterdir()]
    assert sorted(left) == [".UCF101.rar.done", ".splits.zip.done"]
    assert not any(method == "HEAD" and wanted for method, _, wanted in server.asked)
    server.asked.clear()
    run(tmp_path / "ucf", "--download")
    assert not server.asked


def test_a_list_of_archives_and_a_replacement_over_them(
    tmp_path: Path,
    clips: Path,
    server: Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    video = next(clips.rglob("*.avi")).read_bytes()
    replacement = "replacement_for_corrupted_k400"
    for part, names in {"train": ["a", "b"], "val": ["c"], "again": ["b"]}.items():
        folder = tmp_path / part
        inside = folder / replacement if part == "again" else folder
        inside.mkdir(parents=True)
        for name in names:
            content = b"broken" if (part, name) == ("train", "b") else video
            (inside / f"{name}_000001_000011.mp4").write_bytes(content)
        server.files[f"/{part}/part_0.tar.gz"] = tarred(folder)
        server.files[f"/{part}/path.txt"] = server.url(f"/{part}/part_0.tar.gz\n").encode()
        rows = "".join(f"run,{name},1,11,{part}\n" for name in names)
        head = "label,youtube_id,time_start,time_end,split\n"
        server.files[f"/{part}.csv"] = (head + rows).encode()
    sources = (
        Source(server.url("/train.csv"), ANNOTATIONS),
        Source(server.url("/val.csv"), ANNOTATIONS),
        Source(server.url("/train/path.txt"), VIDEOS, listing=True),
        Source(server.url("/val/path.txt"), VIDEOS, listing=True),
        Source(server.url("/again/part_0.tar.gz"), VIDEOS),
    )
    monkeypatch.setitem(
        DATASETS, "kinetics400", dataclasses.replace(DATASETS["kinetics400"], sources=sources)
    )
    report = run(tmp_path / "k400", "--download", "--keep-archives", name="kinetics400")
    assert {split: found["listed"] for split, found in report.items()} == {"train": 2, "val": 1}
    listed = (tmp_path / "k400/lists/train.list").read_text().splitlines()
    assert listed == ["a_000001_000011.mp4 0", f"{replacement}/b_000001_000011.mp4 0"]
    assert (tmp_path / "k400/downloads/train_part_0.tar.gz").is_file()


@pytest.fixture(params=["this Python", "one before 3.11.4"])
def python(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Old ones have no filter that makes unpacking safe."""
    if request.param != "this Python":
        monkeypatch.delattr(tarfile, "data_filter", raising=False)


@pytest.mark.usefixtures("python")
def test_tar_files_are_unpacked_within_their_folder(tmp_path: Path) -> None:
    made = tmp_path / "made"
    (made / "wave").mkdir(parents=True)
    (made / "wave/a (1).avi").write_bytes(b"video")
    (tmp_path / "good.tar.gz").write_bytes(tarred(made))
    unpack(tmp_path / "good.tar.gz", tmp_path / "videos")
    assert (tmp_path / "videos/wave/a (1).avi").read_bytes() == b"video"
    outside, link = tarfile.TarInfo("../../out.txt"), tarfile.TarInfo("link")
    outside.size, link.type, link.linkname = 3, tarfile.SYMTYPE, "../../made"
    pipe = tarfile.TarInfo("pipe")
    pipe.type = tarfile.FIFOTYPE
    for entry in (outside, link, pipe):
        evil = tmp_path / "evil.tar.gz"
        with tarfile.open(evil, "w:gz") as archive:
            archive.addfile(entry, io.BytesIO(b"out"))
        with pytest.raises(UnpackError, match=r"evil\.tar\.gz"):
            unpack(evil, tmp_path / "a/b")
        assert not list((tmp_path / "a/b").iterdir())
    assert not (tmp_path / "out.txt").exists()


def test_archives_that_cannot_be_read(
    tmp_path: Path, unrar: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken.zip").write_bytes(b"PK no")
    with pytest.raises(UnpackError, match=r"broken\.zip"):
        unpack(tmp_path / "broken.zip", tmp_path / "a")
    (tmp_path / "broken.rar").write_bytes(b"Rar! no")
    with pytest.raises(UnpackError, match=r"unrar .*not a zip file"):
        unpack(tmp_path / "broken.rar", tmp_path / "a")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UnpackError, match="apt install unar"):
        unpack(tmp_path / "broken.rar", tmp_path / "a")


def test_archives_within_an_archive(tmp_path: Path, unrar: Path) -> None:
    """HMDB51: one archive a class in a large one."""
    made = tmp_path / "made"
    (made / "wave").mkdir(parents=True)
    (made / "wave/a (1).avi").write_bytes(b"video")
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "wave.rar").write_bytes(zipped(made))
    (tmp_path / "hmdb51_org.rar").write_bytes(zipped(outer))
    unpack(tmp_path / "hmdb51_org.rar", tmp_path / "videos")
    found = [path for path in (tmp_path / "videos").rglob("*") if path.is_file()]
    assert found == [tmp_path / "videos/wave/a (1).avi"]
