"""A corpus on two nodes: a worker and the driver are killed, and each clip is answered once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from benchmarks.corpus.__main__ import WRONG, make_corpus
from benchmarks.corpus.runs import verdict
from infer.corpus.parts import Parts, row_of
from infer.pipeline.predictions import Prediction
from infer.pipeline.rank import Ranked
from tests.tiny_bundle import colour_frames, write_bundle

ROOT = Path(__file__).resolve().parents[3]
RED = (Ranked("red", 0, 0.75), Ranked("green", 1, 0.25))


@pytest.fixture(autouse=True, scope="session")
def installed() -> None:
    if any(find_spec(package) is None for package in ("fsspec", "pyarrow", "ray")):
        pytest.skip("the extra corpus is not installed")


def test_killed_processes_cost_no_answer_and_none_is_there_twice(
    tmp_path: Path, write_clip: Callable[..., Path]
) -> None:
    bundle = write_bundle(tmp_path / "bundle")
    for colour in ("red", "green"):
        write_clip(tmp_path / "videos" / f"{colour}.mp4", colour_frames(colour, 60, 64))
    out = tmp_path / "results.json"
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.corpus", "--bundle", bundle, "--video",
         tmp_path / "videos", "--clips", "60", "--block", "1", "--timed", "0", "--out", out],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["format"] == "clipduet.corpus" and found["met"] is True
    one = found["disturbed"]
    assert one["inputs"] == one["rows"] == 60 and one["errors"] == 1
    assert 15 <= one["answers_before_worker"] <= one["answers_before_driver"] < 60
    assert one["killed_worker"]
    assert found["speed"] is None


def test_files_are_copies_and_some_are_broken(tmp_path: Path) -> None:
    known = [tmp_path / "a.mp4", tmp_path / "b.mkv"]
    for file in known:
        file.write_bytes(file.name.encode() * 100)
    paths = make_corpus(tmp_path / "made", known, 100)
    assert paths == sorted((tmp_path / "made").iterdir())
    whole = [path for path in paths if path.stat().st_size == 500]
    assert len(whole) == 98 and {path.suffix for path in paths} == {".mp4", ".mkv"}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_found(tmp_path: Path, kind: str) -> None:
    expected = {name: Prediction(Path(name), RED, 0.1) for name in ("a", "b")}
    rows = {name: [row_of(name, one, "5a")] for name, one in expected.items()}
    if kind == "missing":
        del rows["a"]
    elif kind == "more_than_once":
        rows["a"] *= 2
    elif kind == "unknown":
        rows["c"] = [row_of("c", expected["a"], "5a")]
    else:
        less = (Ranked("red", 0, 0.75 - 2**-53), RED[1])
        rows["a"] = [row_of("a", Prediction(Path("a"), less, 0.1), "5a")]
    with Parts(str(tmp_path / "out"), "parquet", seconds=9) as parts:
        parts.add([row for some in rows.values() for row in some])
    found = verdict(tmp_path / "out", expected, "5a")
    assert {name for name in WRONG if found[name]} == {kind}
