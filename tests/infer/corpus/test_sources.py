"""What is to be answered: names and paths, of this machine, of addresses, and of Parquet files."""

from __future__ import annotations

import pytest

from infer.corpus.sources import named_videos, parquet_rows
from infer.system.errors import ClipDuetError


@pytest.fixture
def table(tmp_path):
    """`table(path=[...], ...)`: a Parquet file with these columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def make(name="rows.parquet", **columns):
        pq.write_table(pa.table(columns), tmp_path / name)
        return str(tmp_path / name)

    return make


def test_names_are_those_of_predict(videos, tmp_path):
    from infer.command.inputs import find_videos

    named = [str(videos), str(tmp_path / "nothing*.mp4"), str(videos / "broken.mp4")]
    source, inputs = named_videos(named, [], None), find_videos(named)
    assert list(source.names) == [row.name for row in inputs.rows if row.video is not None]
    assert dict(source.problems) == dict(inputs.missing)
    assert len(source.names) + len(source.problems) == len(inputs.rows)
    assert list(source.notes) == list(inputs.notes)


def test_addresses_of_folders_and_patterns_are_searched(videos, tmp_path):
    mp4 = sorted(f"file://{path}" for path in videos.glob("*.mp4"))
    assert named_videos([f"file://{videos}/*.mp4"], [], None).names == mp4
    source = named_videos([f"file://{videos}/", "s3://bucket/a.mp4"], [], None)
    assert {*source.names} == {*mp4, f"file://{videos}/cut.mkv", "s3://bucket/a.mp4"}
    (tmp_path / "a.list").write_text("https://host/a.mp4 0\nb.mp4 1\n")
    source = named_videos([], [str(tmp_path / "a.list")], None)
    assert {*source.names} == {"https://host/a.mp4", str(tmp_path / "b.mp4")}
    with pytest.raises(ClipDuetError, match="no videos"):
        named_videos([f"file://{videos}/*.avi"], [], None)
    with pytest.raises(ClipDuetError, match="nonsense"):
        named_videos(["nonsense://a/*.mp4"], [], None)


def test_a_name_that_is_no_text_stays_one_name(tmp_path):
    path = tmp_path / "a\udcff.mp4"
    path.touch()
    (name,) = named_videos([str(tmp_path)], [], None).names
    assert name == f"{tmp_path}/a\\udcff.mp4"


def test_paths_in_parquet(table, tmp_path):
    file = table(path=["a.mp4", "/b.mp4", "a.mp4", "s3://c/d.mp4"], id=[1, 2, 3, 4])
    source = parquet_rows([file], "path", None, tmp_path)
    assert source.names == ["a.mp4", "/b.mp4", "s3://c/d.mp4"]
    assert "1 row" in source.notes[0]
    assert parquet_rows([file], "path", "id", tmp_path).names == ["1", "2", "3", "4"]
    assert parquet_rows([str(tmp_path)], "path", "id", None).names == ["1", "2", "3", "4"]
    assert parquet_rows([f"file://{tmp_path}/*.parquet"], "path", "id", None).names[0] == "1"


@pytest.mark.parametrize(
    ("columns", "column", "names", "match"),
    [
        ({"path": ["a"]}, "video", None, "no column video"),
        ({"path": ["a"]}, "path", "id", "no column id"),
        ({"path": [1.5]}, "path", None, "double"),
        ({"path": ["a", None]}, "path", None, "without a value"),
        ({"data": [b"a"]}, "data", None, "--name-column"),
    ],
)
def test_wrong_columns_are_told(table, columns, column, names, match):
    with pytest.raises(ClipDuetError, match=match):
        parquet_rows([table(**columns)], column, names, None)


def test_wrong_files_are_told(tmp_path):
    with pytest.raises(ClipDuetError, match="no file"):
        parquet_rows([str(tmp_path / "none.parquet")], "path", None, None)
    (tmp_path / "a.parquet").write_bytes(b"nothing")
    with pytest.raises(ClipDuetError, match="cannot be read"):
        parquet_rows([str(tmp_path)], "path", None, None)
