"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from infer.files import WriteError, replacing, write_text


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
    told = pytest.raises(WriteError, match=r"kept.txt cannot be written: No space left")
    with told, replacing(file):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert file.read_text() == "old" and list(tmp_path.iterdir()) == [file]
    with pytest.raises(WriteError, match=r"x.txt cannot be written: "):
        write_text(file / "x.txt", "new")


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
