"""Logits beside a result file: written whole, read with their checksum, and missing in old ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import shown_path
from benchmarks.deployments.logits import logits_path, read_logits, write_logits


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    given = {f"student/{n}/paddle:fp32": rng.normal(size=(5, 3)) for n in range(2)}
    given["student/1/paddle:fp32"][2] = np.nan  # a clip that could not be read
    record = write_logits(tmp_path / "results.json", given)
    assert record["file"] == "logits.npz" and record["keys"] == list(given)
    assert [file.name for file in tmp_path.iterdir()] == ["logits.npz"]
    found = read_logits(tmp_path / "results.json", record)
    assert list(found) == list(given)
    for key, table in found.items():
        assert table.dtype == np.float32
        np.testing.assert_array_equal(table, given[key].astype(np.float32))


def test_two_results_of_one_folder_have_logits_of_their_own(tmp_path: Path) -> None:
    places = {logits_path(tmp_path / name).name for name in ("results.json", "a.json", "b.json")}
    assert len(places) == 3


def test_logits_of_another_result_are_refused(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    old = write_logits(results, {"a": np.zeros((2, 2))})
    write_logits(results, {"a": np.ones((2, 2))})
    with pytest.raises(BenchmarkError, match="SHA-256"):
        read_logits(results, old)
    logits_path(results).unlink()
    with pytest.raises(BenchmarkError, match="missing"):
        read_logits(results, old)
    with pytest.raises(BenchmarkError, match="without logits"):
        read_logits(results, None)


def test_what_stops_the_writing_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    results = tmp_path / "results.json"
    record = write_logits(results, {"a": np.zeros((2, 2))})

    def full(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(KeyboardInterrupt):
        write_logits(results, {"a": np.ones((2, 2))})
    assert (read_logits(results, record)["a"] == 0).all()
    assert [file.name for file in tmp_path.iterdir()] == ["logits.npz"]


def test_clips_are_named_from_the_root_of_their_list() -> None:
    assert shown_path("data/a/b.mp4", Path("data")) == "a/b.mp4"
    assert shown_path("/other/b.mp4", Path("data")) == "/other/b.mp4"
    assert shown_path(Path("data/b.mp4"), None) == "data/b.mp4"
