"""Datasets that are downloaded: archives, and what is unpacked of them."""

from __future__ import annotations

import dataclasses
import io
import os
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.train.data.prepared import run, ucf_annotations
from tests.train.data.test_prepare_download import Server, server  # noqa: F401
from train.data.prepare.download import TRIES
from train.data.prepare.sources import ANNOTATIONS, DATASETS, VIDEOS, Source
from train.data.prepare.unpack import UnpackError, unpack


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
    ucf_clips: Path,
    unrar: Path,
    server: Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    server.files["/splits.zip"] = zipped(ucf_annotations(tmp_path / "made"))
    server.files["/UCF101.rar"] = zipped(ucf_clips)
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
    ucf_clips: Path,
    server: Server,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    video = next(ucf_clips.rglob("*.avi")).read_bytes()
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
