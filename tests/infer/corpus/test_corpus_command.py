"""The command `clipduet corpus`: answers, what it leaves when it is stopped, what it refuses."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from infer.api import load
from infer.corpus.__main__ import main
from infer.corpus.parts import Parts
from tests.test_doc_blocks import ALL
from tests.test_doc_commands import commands


def rows_of(folder):
    import pyarrow.parquet as pq

    return [
        row for part in folder.glob("part-*.parquet") for row in pq.read_table(part).to_pylist()
    ]


def expected(bundle, paths):
    with load(bundle, backend="onnxruntime", threads=1) as model:
        return list(model.predict(paths))


BLOCKS = [block for block in ALL if block.place.startswith("docs/corpus.md:")]
FOLDER, PARQUET = (
    words
    for block in BLOCKS
    if block.language == "sh" and block.not_run is None
    for words in commands(block.code)
    if words[0] == "clipduet"
)
"""The commands of the page, which the tests run."""
ROWS = 300
"""So many that a run is stopped before its end."""


def test_every_input_is_answered_once_as_predict_does(corpus, colours, place):
    out, missing = place / "answers", "none*.mp4"
    for name in ("numpy", "av"):  # what lies in the current folder is not run
        (place / f"{name}.py").write_text("raise SystemExit('this was run')")
    status, said = corpus(FOLDER, "--video", missing)
    assert status == 1, said
    paths = sorted(Path("clips", path.name) for path in (place / "clips").iterdir())
    rows = {row["video"]: row for row in rows_of(out)}
    assert Counter(row["video"] for row in rows_of(out)) == Counter([*map(str, paths), missing])
    assert "no file" in rows.pop(missing)["error"]
    for path, prediction in zip(paths, expected(colours, (place / p for p in paths)), strict=True):
        row = rows[str(path)]
        topk = [{"label": r.label, "index": r.index, "score": r.score} for r in prediction.topk]
        assert row["topk"] == topk
        assert (row["error"], row["warning"]) == (prediction.error, prediction.warning)
    assert f"{len(paths) + 1} answers" in said and "3 of them errors" in said

    parts = sorted(out.iterdir())
    # All is done: Ray is not even started, for which there is no place.
    status, said = corpus(FOLDER, "--video", missing, TMPDIR=str(place / "none"))
    assert (status, sorted(out.iterdir())) == (1, parts), said


def test_a_run_that_is_stopped_goes_on(corpus, start, colours, place):
    import pyarrow as pa
    import pyarrow.parquet as pq

    paths = sorted((place / "clips").iterdir())
    names = [f"row {number}" for number in range(ROWS)]
    content = [paths[number % len(paths)].read_bytes() for number in range(ROWS)]
    (place / "shards").mkdir()
    table = pa.table({"id": names, "video": content})
    pq.write_table(table, place / "shards" / "0.parquet", row_group_size=8)
    out = place / "answers"
    options = ["--format", "jsonl", "--isolate", "--flush", "0.01", "--block", "2"]
    process = start(PARQUET, *options)
    until = time.monotonic() + 500
    while not list(out.glob("part-*")):
        assert process.poll() is None and time.monotonic() < until, process.communicate()[1]
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    assert process.returncode == 130 and "Traceback" not in said, said
    assert "the same command" in said

    def lines():
        return [json.loads(line) for part in out.glob("part-*") for line in part.open()]

    before = lines()
    assert 0 < len(before) < ROWS
    status, said = corpus(PARQUET, *options)
    assert status == 1 and f"{len(before)} of {ROWS}" in said, said
    assert Counter(row["video"] for row in lines()) == Counter(names)
    answers = expected(colours, paths)
    for row in lines():
        prediction = answers[int(row["video"].split()[1]) % len(answers)]
        assert row.get("label") == prediction.label and row.get("error") == prediction.error
        assert len(row["bundle"]) == 64


def test_a_bundle_or_setting_that_differs_is_refused(colours, videos, tmp_path, capsys):
    with Parts(str(tmp_path / "out"), "parquet", seconds=9) as parts:
        parts.agree({"bundle": "another"})
    command = ["--bundle", str(colours), "--video", str(videos), "--output", str(tmp_path / "out")]
    assert main(command) == 2
    assert "another" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ([], "nothing to classify"),
        (["--parquet", "a", "--video", "b"], "--parquet stands alone"),
        (["--video", "a", "--read-timeout", "5"], "needs --isolate"),
        (["--video", "a", "--backend", "auto"], "--backend auto"),
        (["--video", "a", "--precision", "auto"], "--precision auto"),
    ],
)
def test_wrong_use_is_told(options, match, tmp_path, capsys):
    assert main([*options, "--output", str(tmp_path / "out")]) == 2
    assert match in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_without_ray_the_extra_is_named(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        "importlib.util.find_spec", lambda name, *a: None if name == "ray" else find_spec(name, *a)
    )
    assert main(["--video", "a", "--output", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert "does not have ray" in said and "[corpus]" in said


def test_ray_reports_to_nobody():
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    code = "import infer, ray._common.usage.usage_lib as u; print(u.usage_stats_enabled())"
    told = subprocess.run([sys.executable, "-c", code], env=clean, capture_output=True, text=True)
    assert told.stdout == "False\n", told.stderr
