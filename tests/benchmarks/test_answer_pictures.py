"""`benchmarks.answer_pictures`: a labelled clip that moves, and contact sheets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.answer_pictures import CLIP, RIGHT, WRONG, main
from tests.tiny_bundle import SPEC, colour_frames, write_bundle

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clips(tmp_path: Path, write_clip: Callable[..., Path]) -> Callable[..., list[str]]:
    """`clips({"a": ("red", 0)})`: files of a colour with a label, in a list; the options."""

    def make(wanted: dict[str, tuple[str, int]]) -> list[str]:
        lines = []
        for name, (colour, label) in wanted.items():
            pictures = colour_frames(colour, 12, 64)
            for number, picture in enumerate(pictures):  # equal ones would become one
                picture[:, 5 * number : 5 * number + 8] = 0
            write_clip(tmp_path / f"{name}.mp4", pictures)
            lines.append(f"{name}.mp4 {label}\n")
        (tmp_path / "test.list").write_text("".join(lines))
        bundle = write_bundle(tmp_path / "bundle")
        return ["--bundle", str(bundle), "--data", str(tmp_path / "test.list")]

    return make


def test_the_first_right_and_the_first_wrong_clip_are_drawn(clips, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = clips({"a": ("green", 1), "b": ("red", 0), "c": ("blue", 1), "d": ("red", 2)})
    assert main([*options, "--out", str(out)]) == 0
    assert {file.name for file in out.iterdir()} == {CLIP, RIGHT, WRONG}
    for name, channel in ((RIGHT, 1), (WRONG, 0)):  # of BGR
        sheet = cv2.imread(str(out / name))
        assert sheet is not None and sheet.shape[1] == 4 * SPEC.preprocess.crop
        assert sheet[-20:].mean((0, 1)).argmax() == channel
    done, moving = cv2.imreadanimation(str(out / CLIP))
    assert done and len(moving.frames) == 12 and moving.loop_count == 0
    frame = np.asarray(moving.frames[5])
    assert frame[:200, :, :3].mean((0, 1)).argmax() == 1 and frame.shape[0] > frame.shape[1]


def test_a_bundle_that_is_always_right_has_no_mistake_to_show(clips, tmp_path, capsys) -> None:
    options = clips({"a": ("green", 1), "b": ("red", 0)})
    assert main([*options, "--out", str(tmp_path / "out")]) == 2
    assert "wrongly" in capsys.readouterr().err and not (tmp_path / "out").exists()


def test_pictures_of_the_documentation_are_there_and_small() -> None:
    for name in (CLIP, RIGHT, WRONG):
        file = ROOT / "docs/pictures" / name
        assert 1000 < file.stat().st_size < 300_000, name
        assert any(name in page.read_text() for page in (ROOT / "docs").glob("*.md")), name
