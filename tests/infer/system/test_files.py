"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infer.system.files import WriteError, check_writable, replacing, write_text


def test_a_file_appears_whole_in_folders_that_are_made(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "ä")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "ä".encode()
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]


@pytest.mark.parametrize("stop", [KeyboardInterrupt, ValueError])
def test_what_stops_the_writer_leaves_the_old_file(
    tmp_path: Path, stop: type[BaseException]
) -> None:
    file = tmp_path / "kept.txt"
    file.write_text("old")

    def write() -> None:
        with replacing(file) as partial:
            partial.write_text("half of the n")
            assert file.read_text() == "old"
            raise stop

    with pytest.raises(stop):
        write()
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_full_disk_and_an_impossible_place_are_told(tmp_path: Path) -> None:
    file = tmp_path / "kept.txt"
    file.write_text("old")
    told = pytest.raises(WriteError, match=r"kept.txt .*No space left")
    with told, replacing(file):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]
    with pytest.raises(WriteError, match=r"x.txt "):
        write_text(file / "x.txt", "new")


@pytest.mark.parametrize("name", ["a", "a/x.txt", "a/deep/x.txt"])
def test_a_circle_of_links_is_told_and_stays(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for write in (check_writable, lambda path: write_text(path, "new")):
        with pytest.raises(WriteError, match=rf"{name} cannot be written: .*circle"):
            write(tmp_path / name)
    assert os.readlink(tmp_path / "a") == "b" and {*tmp_path.iterdir()} == {
        *(tmp_path / "a", tmp_path / "b")
    }


def test_a_file_system_without_locks_leaves_nothing_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(file: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", flock)
    write_text(tmp_path / "kept.txt", "new")
    assert (tmp_path / "kept.txt").read_text() == "new"
    with pytest.raises(ValueError), replacing(tmp_path / "kept.txt"):
        raise ValueError
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    private = tmp_path / "private.txt"
    private.write_text("old")
    private.chmod(0o600)
    link = tmp_path / "link.txt"
    link.symlink_to(private)
    write_text(link, "new")
    assert link.is_symlink() and private.read_text() == "new"
    assert private.stat().st_mode & 0o777 == 0o600
    before = os.umask(0o077)
    try:
        write_text(tmp_path / "fresh.txt", "")
    finally:
        os.umask(before)
    assert (tmp_path / "fresh.txt").stat().st_mode & 0o777 == 0o600


WRITER = """
import sys, time
from infer.system.files import replacing
with replacing(sys.argv[1]) as partial:
    partial.write_text("half of the n")
    print(partial, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("living", [1, 2])
def test_what_a_killed_writer_left_is_removed_by_the_next_and_a_living_ones_is_not(
    tmp_path: Path, root: Path, living: int
) -> None:
    file = tmp_path / "kept.txt"
    command = [sys.executable, "-c", WRITER, str(file)]
    writers: list[subprocess.Popen[str]] = []
    partials: list[Path] = []
    try:
        for _ in range(3):  # one after the other, so that their names are in this order
            writers.append(subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, text=True))
            assert writers[-1].stdout
            partials.append(Path(writers[-1].stdout.readline().strip()))
        assert len(set(partials)) == 3
        for killed in {0, 1, 2} - {living}:
            writers[killed].kill()
            writers[killed].wait()
        assert all(partial.read_text() == "half of the n" for partial in partials)
        write_text(file, "new")
        assert file.read_text() == "new"
        assert partials[living].read_text() == "half of the n"
        assert {*tmp_path.iterdir()} == {file, partials[living]}
        writers[living].kill()
        writers[living].wait()
        write_text(file, "newer")
        assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]
    finally:
        for writer in writers:
            writer.kill()
            writer.communicate()


def test_many_writers_of_one_file_do_not_meet(tmp_path: Path) -> None:
    def write(number: int) -> None:
        for turn in range(50):
            with replacing(tmp_path / "kept.txt") as partial:
                partial.write_text(f"{number} {turn} " * 100)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(8)))
    assert len(set((tmp_path / "kept.txt").read_text().split(" ")[:-1:2])) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["kept.txt"]


@pytest.mark.parametrize("kind", ["link", "folder", "pipe", "hard link"])
def test_what_stands_where_a_temporary_file_would_is_left_alone(tmp_path: Path, kind: str) -> None:
    with replacing(tmp_path / "a" / "kept.txt") as partial:
        name = partial.name
    other, stands = tmp_path / "other", tmp_path / "a" / name
    other.write_text("of somebody else")
    {
        "link": lambda: stands.symlink_to(other),
        "folder": stands.mkdir,
        "pipe": lambda: os.mkfifo(stands),
        "hard link": lambda: os.link(other, stands),
    }[kind]()
    write_text(tmp_path / "a" / "kept.txt", "new")
    assert other.read_text() == "of somebody else" and os.path.lexists(stands)
    assert (tmp_path / "a" / "kept.txt").read_text() == "new"
