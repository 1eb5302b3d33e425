"""Lists with files that do not exist: a mistake, or left out and counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from infer.system.errors import ClipDuetError
from tests.train.tiny import ALONE, run, same, weights
from train.__main__ import main
from train.data.lists import ListError, read_list


@pytest.fixture
def holes(experiment: Callable[..., Path], clips: Path) -> Path:
    """A config whose lists name two training clips and one validation clip that are not there."""
    for name, gone in (("train", ("gone.mp4 1", "lost.mp4 0")), ("val", ("gone.mp4 2",))):
        lines = (clips / f"{name}.list").read_text().splitlines()
        (clips / f"{name}_holes.list").write_text("\n".join([gone[0], *lines, *gone[1:]]))
    file = experiment(ALONE, epochs=1)
    file.write_text(file.read_text().replace(".list", "_holes.list"))
    return file


def test_a_missing_file_is_a_mistake_of_the_list(holes: Path) -> None:
    with pytest.raises(ClipDuetError, match=r"gone\.mp4"):
        run(holes)


def test_missing_files_are_left_out_counted_told_and_recorded(
    holes: Path,
    experiment: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["-c", str(holes), "--skip-missing"]) == 0
    told = capsys.readouterr().err
    assert "2 of 14" in told and "1 of 7" in told and "gone.mp4" in told
    record = json.loads((tmp_path / "run/best.json").read_text())
    assert record["missing"] == {"training": 2, "validation": 1}
    whole = tmp_path / "whole"
    run(experiment(ALONE, epochs=1), f"output_dir={whole}")
    assert same(weights(tmp_path / "run"), weights(whole))
    assert "missing" not in json.loads((whole / "best.json").read_text())


def test_a_run_goes_on_only_while_the_same_files_are_missing(holes: Path, clips: Path) -> None:
    skip = "DATASET.skip_missing=true"
    run(holes, skip)
    assert run(holes, skip, resume=True).epoch == 1
    (clips / "lost.mp4").write_bytes((clips / "0.mp4").read_bytes())
    try:
        with pytest.raises(ClipDuetError, match="training clips"):
            run(holes, skip, resume=True)
    finally:
        (clips / "lost.mp4").unlink()


def test_other_wrong_lines_stay_mistakes(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    listed = tmp_path / "the.list"
    listed.write_text("gone.mp4 9\nfolder 0\ngone.mp4 x\na.mp4 0\nlost.mp4 1\n")
    missing: list[str] = []
    with pytest.raises(ListError) as error:
        read_list(listed, root=tmp_path, num_classes=2, missing=missing)
    assert [problem.split(":")[1] for problem in error.value.problems] == ["1", "2", "3"]
    assert missing == [str(tmp_path / "lost.mp4")]


def test_a_list_of_which_nothing_exists_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "the.list").write_text("gone.mp4 0\nlost.mp4 1\n")
    with pytest.raises(ListError, match=r"none of its 2 files"):
        read_list(tmp_path / "the.list", root=tmp_path, missing=[])
