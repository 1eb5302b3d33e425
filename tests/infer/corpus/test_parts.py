"""The output folder: parts are whole or not there, and say what is done."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from infer.corpus.parts import ABOUT, LOCK, Parts, row_of
from infer.pipeline.predictions import Prediction
from infer.pipeline.rank import Ranked
from infer.system.errors import ClipDuetError
from infer.system.files import WriteError

RED = Prediction(Path("a.mp4"), (Ranked("red", 0, 0.1 + 0.2), Ranked("blue", 2, 0.1)), 0.5)
BROKEN = Prediction(Path("b.mp4"), (), 0.25, "broken")
ROWS = [row_of("a.mp4", RED, "5a"), row_of("b.mp4", BROKEN, "5a")]


def opened(folder, form="parquet"):
    return Parts(str(folder), form, seconds=1000)


def write(folder, rows=ROWS, form="parquet"):
    with opened(folder, form) as parts:
        parts.agree({"bundle": "5a"})
        parts.add(rows)


@pytest.mark.parametrize("form", ["parquet", "jsonl"])
def test_what_is_written_is_done(tmp_path, form):
    for number, row in enumerate(ROWS):
        write(tmp_path / "out", [row], form)
        assert len(list((tmp_path / "out").glob(f"part-*.{form}"))) == number + 1
    with opened(tmp_path / "out", form) as parts:
        parts.agree({"bundle": "5a"})
        done = parts.done()
    assert (done.names, done.failed) == ({"a.mp4", "b.mp4"}, {"b.mp4"})


def test_parquet_has_every_bit_of_a_score(tmp_path):
    import pyarrow.dataset

    write(tmp_path / "out")
    table = pyarrow.dataset.dataset(tmp_path / "out", format="parquet").to_table()
    assert table.to_pylist() == ROWS
    assert table["score"].to_pylist() == [0.1 + 0.2, None]


def test_a_line_of_json_is_that_of_predict_with_the_bundle(tmp_path):
    from infer.command.output import record

    write(tmp_path / "out", form="jsonl")
    (part,) = (tmp_path / "out").glob("part-*")
    lines = [json.loads(line) for line in part.read_text().splitlines()]
    expected = [record("a.mp4", RED, None), record("b.mp4", BROKEN, None)]
    assert lines == [{**one, "bundle": "5a"} for one in expected]


def test_a_part_that_cannot_be_written_leaves_nothing(tmp_path, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("infer.corpus.parts.os.fsync", full)
    with pytest.raises(WriteError, match="No space"):
        write(tmp_path / "out")
    monkeypatch.undo()
    assert not list((tmp_path / "out").glob("*part-*"))
    write(tmp_path / "out")
    assert len(list((tmp_path / "out").glob("part-*"))) == 1


def test_what_a_killed_process_left_is_no_part(tmp_path):
    write(tmp_path / "out")
    left = tmp_path / "out" / ".part-0.parquet.0.partial"
    left.write_bytes(b"PAR1")
    with opened(tmp_path / "out") as parts:
        assert not left.exists()
        assert len(parts.done().names) == 2


def test_one_process_writes_at_a_time(tmp_path):
    with opened(tmp_path / "out"), pytest.raises(ClipDuetError, match="another process"):
        opened(tmp_path / "out")
    write(tmp_path / "out")


def test_answers_about_something_else_are_not_mixed(tmp_path):
    write(tmp_path / "out")
    with opened(tmp_path / "out") as parts, pytest.raises(ClipDuetError, match="another bundle"):
        parts.agree({"bundle": "other"})
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").touch()
    with opened(tmp_path / "photos") as parts, pytest.raises(ClipDuetError, match="jpg"):
        parts.agree({"bundle": "5a"})
    (tmp_path / "out" / ABOUT).write_text("[")
    with opened(tmp_path / "out") as parts, pytest.raises(ClipDuetError, match="damaged"):
        parts.agree({"bundle": "5a"})


def test_a_damaged_part_is_named(tmp_path):
    write(tmp_path / "out")
    (part,) = (tmp_path / "out").glob("part-*")
    part.write_bytes(part.read_bytes()[:-10])
    with opened(tmp_path / "out") as parts, pytest.raises(ClipDuetError, match=part.name):
        parts.done()


def test_answers_are_written_when_it_is_time(tmp_path, monkeypatch):
    with Parts(str(tmp_path / "out"), "parquet", seconds=1e-9) as parts:
        parts.add(ROWS[:1])
        assert len(parts.done().names) == 1
    monkeypatch.setattr("infer.corpus.parts.PART_ROWS", 2)
    with opened(tmp_path / "other") as parts:
        parts.add(ROWS[:1])
        assert not parts.done().names
        parts.add(ROWS[1:])
        assert len(parts.done().names) == 2


def test_an_address_is_written_too(tmp_path):
    import fsspec

    files = fsspec.filesystem("memory")
    try:
        for row in ROWS:
            write("memory://answers/one", [row])
        with opened("memory://answers/one") as parts:
            assert parts.done().names == {"a.mp4", "b.mp4"}
        names = [Path(name).name for name in files.ls("/answers/one", detail=False)]
        assert LOCK not in names and not any("partial" in name for name in names)
    finally:
        files.rm("/answers", recursive=True)


def test_a_file_system_that_is_not_there_is_told(tmp_path):
    with pytest.raises(ClipDuetError, match="nonsense"):
        opened("nonsense://bucket/a")
