"""What is behind the names of a command line: nothing is left out without a word."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.command import folder_scan
from infer.command.inputs import find_videos


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def fill(*files: str) -> None:
    for file in files:
        Path(file).parent.mkdir(parents=True, exist_ok=True)
        Path(file).touch()


def found(*named: str) -> list[str]:
    return [row.name for row in find_videos(named).rows if row.video is not None]


@pytest.fixture
def refuse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """`refuse("v/b")`: that folder cannot be listed; root, whom tests may run as, lists any."""

    def arrange(folder: str) -> None:
        for name in ("scandir", "listdir"):
            real = getattr(os, name)

            def refusing(path: str = ".", real: Callable[[str], object] = real) -> object:
                if os.path.normpath(path) == folder:
                    raise PermissionError(13, "Permission denied", path)
                return real(path)

            monkeypatch.setattr(os, name, refusing)

    return arrange


def test_a_folder_that_cannot_be_searched_is_a_failed_input(refuse: Callable[[str], None]) -> None:
    fill("v/a.mp4", "v/b/b.mp4", "v/c/c.mp4")
    refuse("v/b")
    for named in ("v", "v/*", "v/**/*.mp4", "v/*/*.mp4", "."):
        inputs = find_videos([named])
        ((where, why),) = inputs.missing
        assert os.path.normpath(where) == "v/b" and "Permission denied" in why, named
        assert Path("v/c/c.mp4") in inputs.videos and len(inputs.videos) == 2 - (
            named == "v/*/*.mp4"
        )


def test_linked_folders_are_searched(tmp_path: Path) -> None:
    fill("elsewhere/b.mp4", "elsewhere/deep/c.mp4", "v/a.mp4", "v/z.mp4")
    Path("v/linked").symlink_to(tmp_path / "elsewhere")
    expected = {"v/a.mp4", "v/z.mp4", "v/linked/b.mp4", "v/linked/deep/c.mp4"}
    for named in ("v", "v/**/*.mp4"):
        assert {*found(named)} == expected
    # Of two names of a folder, the one without a link.
    assert {*found("**/*.mp4")} == {
        *("elsewhere/b.mp4", "elsewhere/deep/c.mp4", "v/a.mp4", "v/z.mp4")
    }


def test_circles_end_and_are_told() -> None:
    fill("v/a.mp4", "v/deep/b.mp4")
    Path("v/deep/up").symlink_to("..")
    Path("v/again").symlink_to("deep")
    Path("v/deep/self").symlink_to("self")
    for named in ("v", "v/**/*.mp4"):
        inputs = find_videos([named])
        assert [row.name for row in inputs.rows if row.video is not None] == [
            "v/a.mp4",
            "v/deep/b.mp4",
        ]
        told = " ".join(inputs.notes)
        assert "v/again" in told and "v/deep/up" in told
    assert [name for name, _ in find_videos(["v"]).missing] == ["v/deep/self"]


def test_links_that_lead_nowhere_are_failed_inputs() -> None:
    fill("v/a.mp4")
    Path("v/gone").symlink_to("/not/mounted/clips")
    Path("v/b.mp4").symlink_to("gone.mp4")
    Path("v/notes.txt").symlink_to("gone.txt")
    inputs = find_videos(["v"])
    assert [name for name, _ in inputs.missing] == ["v/gone"]
    assert "v/b.mp4" in map(str, inputs.videos)  # fails when it is read


def test_files_of_other_kinds_are_counted_and_hidden_ones_left_out() -> None:
    fill("v/a.MP4", "v/readme.txt", "v/b/labels.txt", "v/c.mxf", "v/.hidden.mp4", "v/.git/x.mp4")
    inputs = find_videos(["v"])
    assert list(map(str, inputs.videos)) == ["v/a.MP4"] and not inputs.missing
    (note,) = inputs.notes
    assert "3 files" in note and ".txt" in note and ".mxf" in note
    assert find_videos(["v/a.MP4"]).notes == ()
    assert found("v/.hidden.mp4") == ["v/.hidden.mp4"]


def test_a_folder_is_sorted_its_own_files_first() -> None:
    fill("v/b/1.mp4", "v/a.b/1.mp4", "v/a/2.mp4", "v/a/1.mp4", "v/z.mp4", "v/a/x/0.mp4")
    assert found("v") == [
        *("v/z.mp4", "v/a/1.mp4", "v/a/2.mp4", "v/a/x/0.mp4", "v/a.b/1.mp4", "v/b/1.mp4")
    ]


NAMES = ("a", "b.mp4", "c.txt", ".h", "[x]")


@given(
    st.lists(st.lists(st.sampled_from(NAMES), min_size=1, max_size=4), max_size=8),
    st.lists(
        st.sampled_from(["*", "**", "?", "a", "*.mp4", "[ab]*", ".*", "b.mp4", "nothing"]),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
)
def test_patterns_find_what_glob_finds(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[str]], parts: list[str], full: bool
) -> None:
    folder = tmp_path_factory.mktemp("glob")
    for file in files:
        path = folder.joinpath(*file)
        if not any(parent.is_file() for parent in path.parents) and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    before = os.getcwd()
    os.chdir(folder)
    try:
        pattern = os.path.join(*((str(folder),) if full else ()), *parts)
        search = folder_scan.FolderScan()
        mine = {name for name in search.matches(pattern) if not os.path.isdir(name)}
        # Python 3.11 also gives "a/" for the pattern "a/**" where "a" is a file, or is not there.
        theirs = {
            os.path.normpath(name)
            for name in glob.glob(pattern, recursive=True)
            if os.path.lexists(name) and not os.path.isdir(name)
        }
    finally:
        os.chdir(before)
    assert mine == theirs and not search.problems
