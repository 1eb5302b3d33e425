"""Numbered pictures: from 1 as PaddleVideo has them, from 0 where picture 0 is there; gaps."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infer.clips.frames_folder import Numbering, numbering, read_frames_folder
from infer.system.errors import VideoError


def numbered(frames, height=32, width=48):
    """Frames whose grey level is their number times 8."""
    pixels = np.zeros((frames, height, width, 3), np.uint8)
    pixels[:] = (np.arange(frames, dtype=np.uint8) * 8)[:, None, None, None]
    return pixels


def write(folder, pictures, first, suffix="img_{:05}.png"):
    for k, picture in enumerate(pictures, first):
        cv2.imwrite(str(folder / suffix.format(k)), picture[:, :, ::-1])


def test_frame_folders(tmp_path):
    write(tmp_path, numbered(5), 1)
    asked = []
    frames, info = read_frames_folder(
        tmp_path, lambda n: asked.append(n) or [4, 0], suffix="img_{:05}.png"
    )
    assert np.array_equal(frames, numbered(5)[[4, 0]])
    assert asked == [5] and info.frames == 5
    with pytest.raises(
        VideoError, match=r"img_00007.png is missing \(9 claimed; not there: 6 to 9\)"
    ):
        read_frames_folder(tmp_path, lambda n: [6], suffix="img_{:05}.png", frames=9)
    with pytest.raises(VideoError, match="no frames"):
        read_frames_folder(tmp_path, lambda n: [0])
    (tmp_path / "img_00002.png").write_bytes(b"no picture")
    with pytest.raises(VideoError, match="not a readable picture"):
        read_frames_folder(tmp_path, lambda n: [1], suffix="img_{:05}.png")
    with pytest.raises(VideoError, match="no such folder"):
        read_frames_folder(tmp_path / "x", lambda n: [0])


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("claimed", [None, 5])
def test_the_first_frame_is_the_first_picture(tmp_path, first, claimed):
    write(tmp_path, numbered(5), first)
    frames, info = read_frames_folder(tmp_path, range, suffix="img_{:05}.png", frames=claimed)
    assert np.array_equal(frames, numbered(5)) and info.frames == 5


@pytest.mark.parametrize("number", [0, 2, 4])
def test_a_picture_that_is_a_circle_of_links_is_not_the_end(tmp_path, number):
    write(tmp_path, numbered(5), 0)
    name = f"img_{number:05}.png"
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to(name)
    with pytest.raises(VideoError, match=rf"frame {name} cannot be read: .*circle"):
        read_frames_folder(tmp_path, range, suffix="img_{:05}.png")


@given(
    numbers=st.sets(st.integers(0, 40), min_size=1, max_size=12),
    claimed=st.one_of(st.none(), st.integers(1, 45)),
)
def test_missing_numbers_are_those_that_are_not_there(tmp_path_factory, numbers, claimed):
    folder = tmp_path_factory.mktemp("pictures")
    for number in numbers:
        (folder / f"{number:03}.jpg").touch()
    for other in ("7.jpg", "0007.jpg", "a007.jpg", "007.png", "thumbs.db"):
        (folder / other).touch()  # none of the pattern's
    found = numbering(folder, "{:03}.jpg", claimed=claimed)
    first = 0 if 0 in numbers else 1
    end = first + claimed - 1 if claimed else max(numbers)
    assert (found.first, found.pictures) == (first, len(numbers))
    named = {n for a, b in found.missing for n in range(a, b + 1)}
    assert named == set(range(first, end + 1)) - numbers
    assert all(b + 1 < c for (_, b), (c, _) in zip(found.missing, found.missing[1:], strict=False))


def test_gaps_in_words():
    assert Numbering(1, 3).gaps == ""
    assert Numbering(1, 9, ((2, 2), (5, 8))).gaps == "2, 5 to 8"
    many = tuple((3 * n, 3 * n) for n in range(1, 9))
    assert Numbering(1, 9, many).gaps == "3, 6, 9, 12, 15, and 3 more ranges"


def test_a_gap_is_told_with_its_numbers(tmp_path):
    write(tmp_path, numbered(8), 0)
    for number in (3, 5, 6):
        (tmp_path / f"img_{number:05}.png").unlink()
    with pytest.raises(VideoError, match=r"8 claimed; not there: 3, 5 to 6") as caught:
        read_frames_folder(tmp_path, range, suffix="img_{:05}.png", frames=8)
    assert "img_00003.png is missing" in caught.value.reason
