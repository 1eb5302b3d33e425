"""predict --save-video and --save-contact-sheet."""

from __future__ import annotations

import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from infer.clips.preprocess import load_clips
from infer.predict import main
from tests.infer.stream.peers import frames, write
from tests.tiny_bundle import SPEC, colour_frames


@pytest.fixture
def predict(bundle, tmp_path, monkeypatch, capsys):
    """`predict("--video", ...) -> (status, messages)`, in the test's folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str]:
        status = main(["--bundle", str(bundle), "--format", "json", *arguments])
        out, err = capsys.readouterr()
        return status, out + err

    return run


def decoded(path: Path) -> tuple[list[np.ndarray], list[float]]:
    with av.open(str(path)) as container:
        shown = list(container.decode(video=0))
    return [one.to_ndarray(format="rgb24") for one in shown], [float(one.time) for one in shown]


def test_the_video_is_written_with_bars_at_its_own_times(predict, tmp_path):
    stamps = [0, 40, 80, 500, 1000, 1900]
    write("a.mkv", frames([0, 0, 0, 3, 3, 3]), stamps=stamps)
    assert predict("--video", "a.mkv", "--save-video", "out", "--top-k", "2")[0] == 0
    pictures, times = decoded(tmp_path / "out" / "a.mp4")
    assert np.allclose(times, np.array(stamps) / 1000, atol=2e-3)
    height, width = pictures[0].shape[:2]
    assert width == 240 and height == 240 + 50
    for picture in pictures:
        assert picture[:240, :, 0].mean() > picture[:240, :, 1].mean() + 50  # red, as the clip
        first, second = picture[243:265].astype(int), picture[265:288].astype(int)
        assert (first[..., 1] - first[..., 0] > 20).mean() > 0.5  # the long green bar
        assert (second[..., 1] - second[..., 0] > 20).mean() < 0.05


def test_the_contact_sheet_has_the_pixels_of_the_network(predict, tmp_path):
    write("a.mkv", frames([n % 9 for n in range(30)]))
    (tmp_path / "list.txt").write_text("a.mkv 2\n")
    arguments = ("--video", "a.mkv", "--labels", "list.txt", "--num-clips", "3")
    assert predict(*arguments, "--save-contact-sheet", "sheets")[0] == 0
    sheet = cv2.imread(str(tmp_path / "sheets" / "a.png"))[:, :, ::-1]
    from dataclasses import replace

    spec = replace(SPEC, sampling=replace(SPEC.sampling, views=3))
    clips, _ = load_clips("a.mkv", spec)
    size = SPEC.preprocess.crop
    head = sheet.shape[0] - 3 * size
    assert head > 0 and sheet[:head].max() > 200  # the text
    for number, clip in enumerate(clips):
        top = head + number * size
        for place, frame in enumerate(clip):
            tile = sheet[top : top + size, place * size : (place + 1) * size]
            assert np.array_equal(tile, frame)


def test_folders_and_arrays_are_saved_too_and_equal_names_get_a_number(predict, tmp_path):
    np.save(tmp_path / "a.npy", colour_frames("blue"))
    (tmp_path / "b" / "a").mkdir(parents=True)
    for number, frame in enumerate(colour_frames("green"), 1):
        cv2.imwrite(f"b/a/img_{number:05}.jpg", frame[:, :, ::-1])
    (tmp_path / "none.mp4").write_bytes(b"")
    both = ("--save-video", "out", "--save-contact-sheet", "out")
    assert predict("--video", "a.npy", "b/a", "none.mp4", *both)[0] == 1
    assert sorted(one.name for one in (tmp_path / "out").iterdir()) == [
        *("a-2.mp4", "a-2.png", "a.mp4", "a.png"),
    ]
    assert len(decoded(tmp_path / "out" / "a-2.mp4")[0]) == 6


def test_files_that_are_there_are_replaced_where_that_is_asked_for(predict, tmp_path, colour_clip):
    colour_clip("a.mp4", "red")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a.png").write_bytes(b"mine")
    arguments = ("--video", "a.mp4", "--save-contact-sheet", "out")
    for more in ((), ("--output", "found.jsonl")):
        status, told = predict(*arguments, *more)
        assert status == 2 and "a.png" in told and "--overwrite" in told
        assert (tmp_path / "out" / "a.png").read_bytes() == b"mine"
    assert predict(*arguments, "--output", "found.jsonl", "--overwrite")[0] == 0
    assert (tmp_path / "out" / "a.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "found.jsonl").read_text())["label"] == "red"


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("--save-video", "."), "one of the videos"),
        (("--save-video", "bundle"), "bundle"),
        (("--save-video", "a.mp4"), "no folder"),
        (("--save-contact-sheet", "x", "--isolate"), "--isolate"),
    ],
)
def test_folders_that_cannot_be_used_are_told_before_the_work(
    predict, colour_clip, arguments, word
):
    before = colour_clip("a.mp4", "red").read_bytes()
    status, told = predict("--video", "a.mp4", *arguments)
    assert status == 2 and word in told
    assert Path("a.mp4").read_bytes() == before
