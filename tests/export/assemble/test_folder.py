"""A bundle's folder: whole or not at all, also after a process that was killed."""

from __future__ import annotations

import errno
import os
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from export.assemble.folder import OutputError, exchange, staged
from infer.bundle.bundle import Bundle
from infer.system.errors import BundleError

ROOT = Path(__file__).resolve().parents[3]
# Stops where it is told to, as a process does that is killed there.
KILLED = """
import os, sys
from pathlib import Path
from export.assemble import folder

replace, moves = os.replace, []

def counted(*names):
    replace(*names)
    moves.append(names)
    if len(moves) == int(sys.argv[2]):
        os._exit(9)

os.replace = counted
if len(sys.argv) < 4:  # as where the system cannot exchange two names
    folder.exchange = lambda one, other: False
with folder.staged(Path(sys.argv[1])) as made:
    (made / "bundle.json").write_text("new")
    if sys.argv[2] == "0":
        os._exit(9)
"""


def killed(target: Path, *, moves: int) -> None:
    command = [sys.executable, "-c", KILLED, str(target), str(moves)]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 9


def write(target: Path, text: str) -> None:
    with staged(target) as folder:
        (folder / "bundle.json").write_text(text)


def test_what_a_killed_export_left_is_removed_by_the_next(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    killed(target, moves=0)
    # As earlier versions named it: by the process, whose number is the same in every container.
    (tmp_path / f".bundle.{os.getpid()}.partial").mkdir()
    assert len(list(tmp_path.iterdir())) == 2
    write(target, "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert (target / "bundle.json").read_text() == "mine"


def test_a_bundle_that_was_moved_aside_comes_back(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    write(target, "old")
    killed(target, moves=1)
    assert not target.exists()
    with pytest.raises(RuntimeError), staged(target):
        raise RuntimeError
    assert (target / "bundle.json").read_text() == "old"
    killed(target, moves=2)
    assert (target / "bundle.json").read_text() == "new"
    write(target, "mine")
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


def test_a_bundle_that_was_moved_aside_is_found_by_who_looks_for_it(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    write(target, "old")
    killed(target, moves=1)
    with pytest.raises(BundleError, match=r"\.previous.* mv ") as caught:
        Bundle.load(target)
    command = shlex.split(str(caught.value).partition("To put it back: ")[2].partition(" (")[0])
    subprocess.run(command, check=True)
    assert (target / "bundle.json").read_text() == "old"


def test_where_names_can_be_exchanged_there_is_always_a_bundle(tmp_path: Path) -> None:
    one, other = tmp_path / "bundle", tmp_path / "other"
    for folder in (one, other):
        write(folder, folder.name)
    if not exchange(one, other):
        pytest.skip("this system or file system cannot exchange two names")
    assert [(f / "bundle.json").read_text() for f in (one, other)] == ["other", "bundle"]
    # It would end at the first renaming, of which there is none.
    command = [sys.executable, "-c", KILLED, str(one), "1", "exchange"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == 0
    assert (one / "bundle.json").read_text() == "new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bundle", "other"]


def test_other_exports_are_let_alone(tmp_path: Path) -> None:
    others = [".bundle.more.12.partial", ".bundle.md", "x.bundle.12.partial", ".other.12.partial"]
    for name in others:
        (tmp_path / name).mkdir()
    with staged(tmp_path / "bundle") as first:
        (first / "bundle.json").write_text("first")
        write(tmp_path / "bundle", "second")
        assert first.is_dir()
    assert (tmp_path / "bundle" / "bundle.json").read_text() == "first"
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "bundle"])


def test_others_may_read_a_bundle_as_far_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "bundle", "")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "bundle").stat().st_mode) == 0o750


def test_a_full_disk_is_said_and_a_bug_is_not_hidden(tmp_path: Path) -> None:
    target = tmp_path / "bundle"
    write(target, "old")
    with pytest.raises(OutputError) as caught, staged(target):
        raise OSError(errno.ENOSPC, "No space left on device")  # of a file that is open already
    assert str(caught.value) == f"{target}: No space left on device"
    with pytest.raises(OSError, match="Bad file descriptor"), staged(target):
        raise OSError(errno.EBADF, "Bad file descriptor")
    assert (target / "bundle.json").read_text() == "old" and len(list(tmp_path.iterdir())) == 1
