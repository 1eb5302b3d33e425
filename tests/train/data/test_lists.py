"""Lists: what is accepted, and that every wrong line is named at once."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.data.lists import ListError, read_list


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for name in ("a.mp4", "b c.mp4", "sub/d.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"video")
    (folder / "clip 1").mkdir()
    (folder / "clip 1" / "img_00001.jpg").write_bytes(b"image")
    return folder


def write(data: Path, text: str | bytes) -> Path:
    file = data.parent / "train.list"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_videos_with_spaces_comments_blank_lines_and_crlf(data: Path) -> None:
    absolute = data / "a.mp4"
    file = write(data, f"# header\r\n\r\na.mp4 0\r\nb c.mp4\t2 \r\nsub/d.mp4   1\r\n{absolute} 2")
    samples = read_list(file, root=data, num_classes=3)
    assert [(s.path, s.label, s.frames, s.line) for s in samples] == [
        (data / "a.mp4", 0, None, 3),
        (data / "b c.mp4", 2, None, 4),
        (data / "sub/d.mp4", 1, None, 5),
        (absolute, 2, None, 6),
    ]


def test_byte_order_mark_is_no_part_of_the_path(data: Path) -> None:
    assert read_list(write(data, b"\xef\xbb\xbfa.mp4 0\n"), root=data)[0].path == data / "a.mp4"


def test_video_suffix_is_appended(data: Path) -> None:
    assert read_list(write(data, "a 0\n"), root=data, suffix=".mp4")[0].path == data / "a.mp4"


def test_repeated_videos_are_kept(data: Path) -> None:
    assert len(read_list(write(data, "a.mp4 0\na.mp4 0\n"), root=data)) == 2


def test_frame_folders(data: Path) -> None:
    (sample,) = read_list(write(data, "clip 1 30 2\n"), root=data, format="FrameDataset")
    assert (sample.path, sample.frames, sample.label) == (data / "clip 1", 30, 2)


def test_every_wrong_line_is_reported(data: Path) -> None:
    file = write(
        data,
        "a.mp4 0\ngone.mp4 1\na.mp4 3\na.mp4 -1\na.mp4 one\na.mp4 1.0\na.mp4\nsub 1\ngone.mp4 9\n",
    )
    with pytest.raises(ListError) as caught:
        read_list(file, root=data, num_classes=3)
    expected = {
        2: "no such file",
        3: "label 3 is out of range, allowed: 0 to 2",
        4: "label -1 is out of range",
        5: "label 'one' is not a whole number",
        6: "label '1.0' is not a whole number",
        7: "too few fields",
        8: "is a folder, not a video",
        9: "label 9 is out of range",
    }
    assert len(caught.value.problems) == len(expected)
    for problem, (line, what) in zip(caught.value.problems, expected.items(), strict=True):
        assert problem.startswith(f"{file}:{line}: ")
        assert what in problem
        assert problem in str(caught.value)
    assert "no such file" in caught.value.problems[-1], "both mistakes of a line are named"


def test_the_folder_that_paths_start_from_is_named_where_files_are_missing(data: Path) -> None:
    file = write(data, "gone.mp4 0\na.mp4 0\n")
    with pytest.raises(ListError) as caught:
        read_list(file, root=data)
    last = str(caught.value).splitlines()[-1]
    assert str(data) in last and "--root" in last and "DATASET.root" in last
    with pytest.raises(ListError) as caught:
        read_list(write(data, "a.mp4 x\n"), root=data)
    assert "--root" not in str(caught.value)


def test_wrong_frame_lines(data: Path) -> None:
    file = write(data, "clip 1 0 0\nclip 1 x 0\nnone 5 0\na.mp4 5 0\n5 0\n")
    with pytest.raises(ListError) as caught:
        read_list(file, root=data, format="FrameDataset")
    whats = ["is below 1", "'x' is not a whole number", "no folder", "is a file", "too few fields"]
    assert len(caught.value.problems) == len(whats)
    for problem, what in zip(caught.value.problems, whats, strict=True):
        assert what in problem


def test_long_reports_are_cut_with_a_count(data: Path) -> None:
    with pytest.raises(ListError) as caught:
        read_list(write(data, "gone.mp4 0\n" * 1000 + "a.mp4 0\n"), root=data)
    assert len(caught.value.problems) == 1000
    message = str(caught.value)
    assert message.startswith("1000 of 1001 lines")
    assert len(message.splitlines()) < 30
    assert "and 980 more" in message


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment\n"])
def test_empty_list(data: Path, text: str) -> None:
    with pytest.raises(ListError, match="empty"):
        read_list(write(data, text), root=data)


def test_missing_list_and_root_and_wrong_encoding_and_format(data: Path) -> None:
    with pytest.raises(ListError, match="cannot be read"):
        read_list(data / "no.list", root=data)
    with pytest.raises(ListError, match="root folder"):
        read_list(write(data, "a.mp4 0"), root=data / "none")
    with pytest.raises(ListError, match="UTF-8"):
        read_list(write(data, b"\xff\xfe\x00"), root=data)
    with pytest.raises(ListError, match="VideoDataset, FrameDataset"):
        read_list(write(data, "a.mp4 0"), root=data, format="Videos")  # type: ignore[arg-type]


@pytest.mark.parametrize("suffix", ["frame_{:03}.png", "img.jpg", "img_{:05", "img_{name}.jpg"])
def test_frame_suffix_that_fits_nothing(data: Path, suffix: str) -> None:
    file = write(data, "clip 1 30 2\n")
    with pytest.raises(ListError, match="suffix"):
        read_list(file, root=data, format="FrameDataset", suffix=suffix)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_categories=("Z", "C"), exclude_characters="/\\#"),
    min_size=1,
    max_size=8,
).filter(lambda name: name not in (".", ".."))


@given(
    parts=st.lists(NAMES, min_size=1, max_size=3),
    label=st.integers(0, 10**6),
    end=st.sampled_from(["", "\n", "\r\n"]),
)
def test_any_name_comes_back(
    tmp_path_factory: pytest.TempPathFactory, parts: list[str], label: int, end: str
) -> None:
    root = tmp_path_factory.mktemp("names")
    name = " ".join(parts)
    (root / name).write_bytes(b"")
    file = root / "the.list"
    file.write_text(f"{name} {label}{end}", encoding="utf-8", newline="")
    (sample,) = read_list(file, root=root)
    assert (sample.path, sample.label) == (root / name, label)


@pytest.mark.parametrize("device", ["/dev/zero", "/dev/random"])
def test_a_device_is_no_list(device: str) -> None:
    with pytest.raises(ListError, match="cannot be read"):
        read_list(Path(device))


def test_a_root_that_is_not_there_is_told_with_what_makes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A config of the checkout needs the embedded dataset, which nobody has at first."""
    monkeypatch.chdir(tmp_path)
    for root, hint in (("data/motions", "make data"), ("clips", "DATASET.root")):
        with pytest.raises(ListError) as error:
            read_list(f"{root}/train.list", root=root)
        assert f"folder {root} " in str(error.value) and hint in str(error.value)
