"""The full-size network's speed: cells are compared, then timed; its parts, batches and goals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.speed.__main__ import BARE, FLOATS, REFERENCE, STILL, main
from benchmarks.speed.cells import TOLERANCE

INT8 = "onnxruntime:int8"
FAST = ["--threads", "1", "--seconds", "0", "--repetitions", "2"]


@pytest.mark.parametrize("config", ["one.yaml", "two.yaml"])
def test_cells_are_compared_and_timed(
    config: str, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TOLERANCE, "int8", 1.0)  # so small a network rounds more
    out = tmp_path / "speed.json"
    command = ["-c", str(tiny / config), "--cells", REFERENCE, INT8, "--batch-sizes", "1", "2"]
    status = main([*command, *FAST, "--out", str(out)])
    found = json.loads(out.read_text())
    assert (found["format"], found["clip_shape"]) == ("clipduet-speed", [4, 32, 32, 3])
    assert found["files"]["model.int8.onnx"] < found["files"]["model.fp32.onnx"]
    assert found["latency"].keys() == {REFERENCE, INT8, BARE, FLOATS, STILL.format(REFERENCE)}
    differences = found["difference_to_reference"]
    assert differences[BARE] == 0 and differences[FLOATS] < 1e-4 < differences[INT8]
    assert differences[STILL.format(REFERENCE)] > 1e-4
    assert found["latency"][REFERENCE]["ratio"] == 1
    for row in found["latency"].values():
        low, high = row["ratio_spread"]
        assert 0 < low <= row["ratio"] <= high
    assert [row["batch"] for row in found["throughput"]] == [1, 1, 2, 2]
    assert found["goals"].keys() >= {"our call", "best int8"}
    assert status == (0 if all(goal["met"] for goal in found["goals"].values()) else 1)


def test_the_reference_is_needed(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-c", str(tiny / "one.yaml"), "--cells", INT8]) == 2
    assert REFERENCE in capsys.readouterr().err


def test_other_logits_are_not_timed(
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(TOLERANCE, "int8", 1e-6)
    out = tmp_path / "speed.json"
    command = ["-c", str(tiny / "one.yaml"), "--cells", REFERENCE, INT8, "--batch-sizes", "1"]
    assert main([*command, *FAST, "--out", str(out)]) == 2
    assert INT8 in capsys.readouterr().err and not out.exists()
