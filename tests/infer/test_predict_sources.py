"""Sources of predict beside video files: folders of frames, arrays, lists, standard input."""

from __future__ import annotations

import io
import json
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from infer.clips.array_file import read_array_file
from infer.clips.picture_names import numberings
from infer.clips.preprocess import clips_of_frames, load_clips
from infer.command.journal import video_key
from infer.containers.limits import LIMITS, Limits
from infer.predict import main
from infer.system.errors import VideoError
from tests.tiny_bundle import SPEC, colour_frames

Predict = Callable[..., dict[str, dict[str, object]]]


@pytest.fixture
def predict(bundle, tmp_path, monkeypatch, capsys) -> Predict:
    """`predict("a.mp4", status=0) -> {name: record}`, in the test's folder."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, status: int = 0) -> dict[str, dict[str, object]]:
        found = main(["--bundle", str(bundle), "--format", "jsonl", *arguments])
        out, err = capsys.readouterr()
        assert found == status, err
        return {row["video"]: row for row in map(json.loads, out.splitlines())}

    return run


def pictures(folder: Path, colour: str, pattern: str = "img_{:05}.jpg", first: int = 1) -> None:
    folder.mkdir(parents=True)
    for number, frame in enumerate(colour_frames(colour), first):
        assert cv2.imwrite(str(folder / pattern.format(number)), frame[:, :, ::-1])


@pytest.mark.parametrize(
    ("pattern", "first"),
    [
        ("img_{:05}.jpg", 1),
        ("img_{:05}.jpg", 0),
        ("{:06}.png", 0),
        ("{:01}.JPG", 1),
        ("f{{{:03}.png", 1),
    ],
)
def test_a_folder_of_numbered_pictures_is_one_video(predict, tmp_path, pattern, first):
    pictures(tmp_path / "clip", "green", pattern, first)
    found = predict("--video", "clip")
    assert found["clip"]["label"] == "green" and "warning" not in found["clip"]


def test_folders_of_frames_are_found_beside_videos(predict, tmp_path, colour_clip):
    colour_clip("all/a.mp4", "red")
    pictures(tmp_path / "all" / "deep" / "b", "blue")
    # Pictures beside a video are no video, nor are those that have no numbers.
    cv2.imwrite(str(tmp_path / "all" / "img_00001.jpg"), colour_frames("red")[0])
    pictures(tmp_path / "all" / "other", "green", "holiday{:04}x.jpg")
    found = predict("--video", "all")
    assert {name: row["label"] for name, row in found.items()} == {
        "all/a.mp4": "red",
        "all/deep/b": "blue",
    }


def test_pictures_behind_a_missing_one_are_told(predict, tmp_path):
    pictures(tmp_path / "clip", "green")
    (tmp_path / "clip" / "img_00004.jpg").unlink()
    warning = predict("--video", "clip")["clip"]["warning"]
    assert "4" in warning and "header" not in warning and "decode" not in warning


@pytest.mark.parametrize("name", ["0.png", "1.JPG", "0001.jpg", "img_00000.jpg"])
def test_one_picture_is_a_video_of_one_frame(predict, tmp_path, name):
    pictures(tmp_path / "clip", "green")
    for file in (tmp_path / "clip").iterdir():
        file.rename(tmp_path / "clip" / name)
    (tmp_path / "clip" / "notes.txt").touch()
    found = predict("--video", "clip")["clip"]
    assert found["label"] == "green" and "warning" not in found


@pytest.mark.parametrize(
    "names",
    [("2.png",), ("cover1.png",), ("1.png", "cover.png"), ("1.png", "2.jpg"), ("0.png", "01.png")],
    ids=" ".join,
)
def test_pictures_without_a_numbering_are_no_video(names):
    assert numberings(names) == []


def test_the_first_picture_is_read_where_the_second_is_missing(predict, tmp_path):
    pictures(tmp_path / "clip", "green", "{:01}.jpg")
    (tmp_path / "clip" / "2.jpg").unlink()
    found = predict("--video", "clip")["clip"]
    assert found["label"] == "green" and "missing: 2" in found["warning"]


def test_pictures_of_two_numberings_are_an_error(tmp_path):
    pictures(tmp_path / "clip", "green", "a{:02}.jpg")
    pictures(tmp_path / "again", "green", "b{:02}.jpg")
    for file in (tmp_path / "again").iterdir():
        file.rename(tmp_path / "clip" / file.name)
    with pytest.raises(VideoError, match="2 numberings"):
        load_clips(tmp_path / "clip", SPEC)


@pytest.mark.parametrize("name", ["a.npy", "a.NPZ", "small.npz", "several.npz"])
def test_an_array_is_the_frames_that_it_holds(predict, tmp_path, name):
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (9, 40, 48, 3), np.uint8)
    with (tmp_path / name).open("wb") as file:
        if name == "a.npy":
            np.save(file, frames)
        elif name == "small.npz":
            np.savez_compressed(file, frames)
        elif name == "several.npz":
            np.savez_compressed(file, other=np.zeros(3), frames=frames)
        else:
            np.savez(file, clip=frames)
    clips, info = load_clips(tmp_path / name, SPEC)
    assert np.array_equal(clips, clips_of_frames(frames, SPEC))
    assert (info.frames, info.width, info.height) == (9, 48, 40)
    assert predict("--video", name)[name]["label"] in ("red", "green", "blue")


def save(path: Path, array: np.ndarray, **options: object) -> None:
    with path.open("wb") as file:
        np.save(file, array, **options)


def test_arrays_that_are_no_frames_are_named(tmp_path):
    good = colour_frames("red")
    path = tmp_path / "a.npy"

    def reason(limits: Limits = LIMITS) -> str:
        with pytest.raises(VideoError) as caught:
            read_array_file(path, range, limits=limits)
        return caught.value.reason

    for wrong in (good.astype(np.float32), good[0], good[:0], good.transpose(0, 3, 1, 2)):
        save(path, wrong)
        assert str(wrong.shape) in reason() and "uint8 (T, H, W, 3)" in reason()
    save(path, np.array([{"a": 1}], object))
    assert "object" in reason()
    save(path, np.asfortranarray(good))
    assert "Fortran" in reason()
    save(path, good)
    for limits, what in (
        (Limits(pixels=100), "pixels"), (Limits(frames=5), "frames"), (Limits(bytes=9000), "bytes"),
    ):  # fmt: skip
        assert f"--max-{what}" in reason(limits)
    whole = path.read_bytes()
    for cut in (whole[:-1], whole[:100], whole[:7]):
        path.write_bytes(cut)
        assert "cut off" in reason() or "not a readable NumPy file" in reason()
    path.write_bytes(b"text")
    assert "not a readable NumPy file" in reason()


def test_an_archive_that_is_damaged_or_holds_several_arrays_is_named(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=colour_frames("red"), b=colour_frames("red"))
    with pytest.raises(VideoError, match="2 arrays, none of them named frames"):
        read_array_file(path, range)
    np.savez_compressed(path, colour_frames("red", size=64))
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 3] ^= 0xFF
    path.write_bytes(whole)
    with pytest.raises(VideoError, match=r"not a readable NumPy file|cut off"):
        read_array_file(path, range)
    with zipfile.ZipFile(path, "w"):
        pass
    with pytest.raises(VideoError, match="0 arrays"):
        read_array_file(path, range)


def test_a_list_gives_a_row_for_each_line(predict, tmp_path, colour_clip):
    colour_clip("v/a b.mp4", "red")
    colour_clip("v/c.mp4", "blue")
    pictures(tmp_path / "v" / "f", "green")
    lines = ["# clips", "a b.mp4 0", "", "c.mp4", "f 4 1", "missing.mp4 2", "https://x.org/a.mp4 1"]
    (tmp_path / "v" / "list.txt").write_text("\ufeff" + "\r\n".join(lines))
    for arguments in (["--video", "@v/list.txt"], ["--list", "v/list.txt"]):
        found = predict(*arguments, status=1)
        assert {name: row.get("label") for name, row in found.items()} == {
            "v/a b.mp4": "red",
            "v/c.mp4": "blue",
            "v/f": "green",
            "v/missing.mp4": None,
            "https://x.org/a.mp4": None,
        }
    assert "clipduet stream" in found["https://x.org/a.mp4"]["error"]
    found = predict("--list", "v/list.txt", "--root", "elsewhere", status=1)
    assert all("error" in row for row in found.values()) and "elsewhere/c.mp4" in found


def test_a_listed_number_of_frames_counts(predict, tmp_path):
    pictures(tmp_path / "f", "green")
    (tmp_path / "list.txt").write_text("f 9 1\n")
    assert "9 claimed" in predict("--list", "list.txt", status=1)["f"]["error"]
    (tmp_path / "list.txt").write_text("f 2 1\n")
    for frame in (tmp_path / "f").glob("*[3456].jpg"):  # not read
        frame.write_bytes(b"no picture")
    assert predict("--list", "list.txt")["f"]["label"] == "green"
    assert predict("--list", "list.txt", "--isolate")["f"]["label"] == "green"
    found = predict("--list", "list.txt", "--video", "f", status=1)
    assert "2 frames" in found["f"]["error"]


def test_labels_of_lists_count_where_they_are_asked_for(predict, tmp_path, colour_clip):
    colour_clip("a.mp4", "red")
    pictures(tmp_path / "f", "green")
    (tmp_path / "list.txt").write_text("a.mp4 2\nf 6 1\n")
    found = predict("--list", "list.txt", "--labels", "list.txt")
    assert (found["a.mp4"]["correct"], found["f"]["correct"]) == (False, True)


def test_a_list_that_cannot_be_read_is_a_failed_input(predict, tmp_path, colour_clip):
    colour_clip("a.mp4", "red")
    (tmp_path / "empty.txt").write_text("# nothing\n")
    found = predict("--video", "a.mp4", "@none.txt", "@empty.txt", status=1)
    assert found["a.mp4"]["label"] == "red"
    assert "No such file" in found["@none.txt"]["error"] or "no such" in found["@none.txt"]["error"]
    assert "empty" in found["@empty.txt"]["error"]
    (tmp_path / "a.mp4").rename(tmp_path / "@none.txt")
    assert predict("--video", "@none.txt")["@none.txt"]["label"] == "red"


def test_names_on_standard_input(predict, colour_clip, monkeypatch):
    colour_clip("a b.mp4", "red")
    colour_clip("c.mp4", "blue")
    given = io.TextIOWrapper(io.BytesIO(b"a b.mp4\nc.mp4\n"))
    monkeypatch.setattr(sys, "stdin", given)
    assert [row["label"] for row in predict("--video", "-").values()] == ["red", "blue"]
    assert "standard input" in predict("--video", "-", status=1)["-"]["error"]


def test_links_to_one_file_are_a_row_each(predict, tmp_path, colour_clip):
    colour_clip("v/a.mp4", "red")
    (tmp_path / "v" / "b.mp4").symlink_to("a.mp4")
    (tmp_path / "list.txt").write_text("v/b.mp4 1\nv/a.mp4 0\n")
    for source in ("v", "@list.txt"):
        found = predict("--video", source)
        assert {name: row["label"] for name, row in found.items()} == {
            "v/a.mp4": "red",
            "v/b.mp4": "red",
        }


def test_a_folder_whose_pictures_changed_is_another_video(tmp_path):
    pictures(tmp_path / "clip", "green")
    first = video_key(tmp_path / "clip")
    assert video_key(tmp_path / "clip") == first != video_key(tmp_path / "clip", 3)
    (tmp_path / "clip" / "img_00002.jpg").write_bytes(b"another")
    assert video_key(tmp_path / "clip") != first


def test_no_source_at_all_is_wrong_use(bundle, capsys):
    assert main(["--bundle", str(bundle)]) == 2
    assert "--video" in capsys.readouterr().err
