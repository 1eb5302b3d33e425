"""`benchmarks.run_pictures`, and the pictures of the documentation."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from benchmarks.run_pictures import COPIED, OUT, PAGE, WRONG, main
from train.evaluation.answers import Answers
from train.evaluation.wrong_clips import write_wrong_clips

ROOT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
NAMES = ("plain", "<b> & co")


class Grey:
    """Clips of one picture, of two by one."""

    samples: tuple[Any, ...] = ()

    def read(self, index: int, rng: Any) -> tuple[np.ndarray, None]:
        return np.full((1, 8, 40, 80, 3), 20 * index, np.uint8), None


def texts(file: Path) -> list[str]:
    return [one.text or "" for one in ElementTree.parse(file).getroot().iter(f"{SVG}text")]


def run_of(folder: Path, *, wrong: int) -> Path:
    folder.mkdir()
    for name in COPIED:
        (folder / name).write_text(f"<svg>{name}</svg>")
    guesses = np.array([1] * wrong + [0] * 2)
    shares = np.linspace(0.5, 0.9, len(guesses))
    paths = tuple(f"{i}.mp4" for i in range(len(guesses)))
    answers = Answers(paths, np.zeros(len(guesses), np.int64), guesses, shares)
    write_wrong_clips(folder / PAGE, answers, Grey(), NAMES)  # type: ignore[arg-type]
    return folder


def test_the_surest_mistakes_are_drawn_with_what_they_were_taken_for(tmp_path: Path) -> None:
    run, out = run_of(tmp_path / "run", wrong=6), tmp_path / "pictures"
    assert main([str(run), "--out", str(out)]) == 0
    assert {file.name for file in out.iterdir()} == {*COPIED.values(), WRONG}
    assert (out / "confusion.svg").read_text() == "<svg>val_confusion.svg</svg>"
    drawn = texts(out / WRONG)
    assert len(drawn) == 4 and drawn[0] == "<b> & co 79%, labelled plain"
    root = ElementTree.parse(out / WRONG).getroot()
    images = list(root.iter(f"{SVG}image"))
    assert [image.get("width") for image in images] == [
        "1162"
    ] * 4  # six frames of 192 x 96, 2 between them
    assert all((image.get("href") or "").startswith("data:image/jpeg;base64,") for image in images)


def test_without_out_they_lie_below_the_run(tmp_path: Path) -> None:
    run = run_of(tmp_path / "run", wrong=1)
    assert main([str(run)]) == 0
    assert (run / OUT / WRONG).is_file()


def test_a_run_without_pictures_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = run_of(tmp_path / "run", wrong=0)
    assert main([str(run), "--out", str(tmp_path / "out")]) == 2
    assert "no wrong clip" in capsys.readouterr().err
    (run / PAGE).unlink()
    assert main([str(run), "--out", str(tmp_path / "out")]) == 2
    assert PAGE in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_the_pictures_of_the_documentation_are_small_and_load_nothing() -> None:
    for name in (*COPIED.values(), WRONG):
        file = ROOT / "docs/pictures" / name
        assert file.stat().st_size < 100_000
        for element in ElementTree.parse(file).getroot().iter():
            for key, value in element.attrib.items():
                outside = key.endswith("href") and not value.startswith(("#", "data:"))
                assert not outside, (name, value)
