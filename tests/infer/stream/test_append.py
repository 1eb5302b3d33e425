"""`clipduet stream --append`: a command that is started again goes on with its files."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from infer.stream.__main__ import main
from tests.infer.stream.peers import frames, write

NAMES = ("a.jsonl", "a.csv", "a.vtt")


@pytest.fixture
def again(bundle, tmp_path):
    """`again("--append") -> status` of the same command, over 3 windows and 3 events."""
    source = tmp_path / "long.mp4"
    write(str(source), frames([0] * 10 + [4] * 10 + [8] * 10))
    command = [str(source), "--bundle", str(bundle), "--window", "1"]
    for name in NAMES:
        command += ["--output", str(tmp_path / name)]
    return lambda *more: main([*command, *more])


def check_twice(folder: Path, first: int) -> None:
    """Of both runs there is everything, but what was cut off the first one."""
    rows = [json.loads(line) for line in (folder / "a.jsonl").read_text().splitlines()]
    assert [one["type"] for one in rows].count("window") == 6 and rows[-1]["type"] == "summary"
    table = list(csv.DictReader((folder / "a.csv").open()))
    assert {one["type"] for one in table} == {"window", "event"}
    assert [one["type"] for one in table].count("event") == first + 3
    cues = (folder / "a.vtt").read_text().split("\n\n")
    assert cues[0] == "WEBVTT" and len(cues) == 1 + first + 3
    assert all(one.count("\n") == 1 for one in cues[1:-1]) and cues[-1].count("\n") == 2


def test_a_command_that_ended_goes_on_at_the_end(again, tmp_path, capsys):
    assert again("--append") == 0  # nothing is there yet
    before = {name: (tmp_path / name).read_bytes() for name in NAMES}
    assert again() == 2 and "--append" in capsys.readouterr().err
    assert again("--append", "--overwrite") == 2 and "exclude" in capsys.readouterr().err
    assert again("--append") == 0
    assert all((tmp_path / name).read_bytes().startswith(before[name]) for name in NAMES)
    check_twice(tmp_path, first=3)


@pytest.mark.parametrize("vtt", ["text", "time", "empty line"])
def test_half_of_the_last_record_is_cut_off(again, tmp_path, vtt):
    assert again() == 0
    for name in NAMES:
        file = tmp_path / name
        data = file.read_bytes()
        ends = {"text": len(data) - 3, "time": data.rfind(b"\n", 0, -1) + 1}
        end = ends.get(vtt, data.rfind(b"\n\n") + 2) if name == "a.vtt" else len(data) - 3
        file.write_bytes(data[:end])
    assert again("--append") == 0
    check_twice(tmp_path, first=2)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.jsonl", "mine\n"),
        ("a.jsonl", '{"a": 1}'),
        ("a.csv", "type,start\nx,1"),
        ("a.vtt", "mine"),
        ("a.csv", "x"),
    ],
)
def test_a_file_of_something_else_stays_as_it_is(again, tmp_path, capsys, name, text):
    (tmp_path / name).write_text(text)
    assert again("--append") == 2 and name in capsys.readouterr().err
    assert (tmp_path / name).read_text() == text
    assert [one for one in NAMES if (tmp_path / one).exists()] == [name]


@pytest.mark.parametrize("kept", [0, 3, 7])
def test_half_of_a_first_line_is_written_anew(again, tmp_path, kept):
    assert again() == 0
    whole = {name: (tmp_path / name).read_bytes() for name in NAMES}
    for name in NAMES:
        (tmp_path / name).write_bytes(whole[name][:kept])
    assert again("--append") == 0
    assert all((tmp_path / name).read_bytes() == whole[name] for name in NAMES)
