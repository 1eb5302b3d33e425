"""True labels beside the answers: shown, marked and counted, in every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from infer.predict import main


@pytest.fixture
def given(make_bundle, colour_clip, tmp_path, monkeypatch):
    """Five inputs: right, wrong, without a label, unreadable, right in a folder of its own."""
    videos = [
        colour_clip("v/a.mp4", "green"),
        colour_clip("v/b.mp4", "red"),
        colour_clip("v/c.mp4", "red"),
        tmp_path / "v" / "broken.mp4",
        colour_clip("v/deep er/d.mp4", "blue"),
    ]
    videos[3].write_bytes(b"nonsense" * 99)
    lines = ["# path label", "", "a.mp4 1", "b.mp4 2", "broken.mp4\t0", "deep er/d.mp4 2"]
    lines.append("not there.mp4 0")
    (tmp_path / "v" / "true.list").write_text("\n".join(lines) + "\n")
    monkeypatch.chdir(tmp_path)
    names = [str(video.relative_to(tmp_path)) for video in videos]
    return ["--bundle", str(make_bundle()), "--video", *names, "--labels"]


TRUE = ["green", "blue", None, "red", "blue"]
CORRECT = [True, False, None, False, True]


def test_a_table_marks_right_and_wrong(given, tmp_path, capsys):
    assert main([*given, str(tmp_path / "v" / "true.list")]) == 1
    out, err = capsys.readouterr()
    head, *rows = out.splitlines()
    assert head.split() == ["video", "score", "seconds", "true", "label", "label"]
    at = head.index("true label")
    marks, names = ([row[a : a + n].strip() for row in rows] for a, n in ((at - 7, 5), (at, 10)))
    assert [m for i, m in enumerate(marks) if i != 3] == ["right", "wrong", "-", "right"]
    assert [n for i, n in enumerate(names) if i != 3] == ["green", "blue", "-", "blue"]
    assert "error" in rows[3]
    # Four have a label, two of them are right, and one cannot be read.
    assert "2 of 4 videos" in err and "1 unreadable" in err


def test_json_and_csv_hold_the_true_label(given, tmp_path, capsys):
    asked = [*given, str(tmp_path / "v" / "true.list"), "--format"]
    assert main([*asked, "json"]) == 1
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["true_label"] for record in records] == TRUE
    assert [record["true_index"] for record in records] == [1, 2, None, 0, 2]
    assert [record["correct"] for record in records] == CORRECT
    assert main([*asked, "csv"]) == 1
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert [row["true_label"] or None for row in rows] == TRUE
    assert [row["correct"] for row in rows] == ["" if c is None else str(c) for c in CORRECT]


def test_paths_start_from_the_list_or_from_root(given, tmp_path, capsys):
    moved = tmp_path / "elsewhere.list"
    moved.write_text((tmp_path / "v" / "true.list").read_text())
    assert main([*given, str(moved)]) == 2
    assert "none of the 5" in capsys.readouterr().err
    assert main([*given, str(moved), "--root", str(tmp_path / "v")]) == 1
    assert "2 of 4 videos" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a.mp4 3\nb.mp4 x\n\nc.mp4\nb.mp4 -1", ["4 problems", "line 1", "line 5", "0 to 2"]),
        (b"a.mp4 1\na.mp4 2", ["line 2", "another label"]),
        (b"a.mp4 x\n" * 25, ["25 problems", "line 20", "and 5 more"]),
        (b"\xff\xfe\x00", ["UTF-8"]),
        (None, ["No such file"]),
    ],
)
def test_a_list_with_mistakes_is_refused(given, tmp_path, capsys, text, said):
    file: Path = tmp_path / "wrong.list"
    if text is not None:
        file.write_bytes(text)
    assert main([*given, str(file), "--root", str(tmp_path / "v")]) == 2
    out, err = capsys.readouterr()
    assert out == "" and str(file) in err
    for word in said:
        assert word in err


def test_without_a_list_nothing_is_said_of_true_labels(given, capsys):
    assert main([*given[:-1], "--format", "json"]) == 1
    out, err = capsys.readouterr()
    assert "true" not in out + err
