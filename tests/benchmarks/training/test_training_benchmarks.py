"""What training costs: a step and its parts, the loader, a step of PaddleVideo's."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from benchmarks.cpu_kernels import KERNELS
from benchmarks.cpu_kernels import main as cpu_kernels
from benchmarks.loader import main as loader
from benchmarks.paddlevideo_step import main as paddlevideo_step
from benchmarks.run_files_cost import PARTS
from benchmarks.run_files_cost import main as run_files_cost
from benchmarks.step_cost import main as step_cost
from train.distill import at_once


@pytest.mark.parametrize("cores", [1, 2])
def test_a_step_of_the_pair_is_timed_against_its_parts(
    cores: int, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_once, "cores", lambda: cores)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    out = tmp_path / "cost.json"
    arguments = ["-c", str(tiny / "two.yaml"), "--out", str(out), "--seconds", "0.1"]
    assert step_cost([*arguments, "--repetitions", "2"]) in (0, 1)  # a busy machine may miss it
    result = json.loads(out.read_text())
    assert set(result["steps"]) >= {"pair, in turn", "Student", "Student2"}
    assert ("pair" in result["steps"]) is (result["at_once"] is not None) is (cores == 2)
    assert len({row["calls"] for row in result["steps"].values()}) == 1
    low, high = result["ratio_spread"]
    assert 0 < low <= high
    assert result["within_goal"] == (result["ratio"] <= result["goal"])


def test_the_kernels_are_timed_on_the_same_clips(
    tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS"):
        monkeypatch.setenv(name, "1")  # the command sets them: back to what they are
    out = tmp_path / "kernels.json"
    command = ["-c", str(tiny / "one.yaml"), "--seconds", "0", "--repetitions", "2"]
    assert cpu_kernels([*command, "--out", str(out)]) == 0
    result = json.loads(out.read_text())
    assert result["steps"].keys() == set(KERNELS)
    assert len({row["calls"] for row in result["steps"].values()}) == 1
    low, high = result["ratio_spread"]
    assert 0 < low <= result["ratio"] <= high


def test_what_a_run_writes_to_look_at_is_timed(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))
    monkeypatch.setattr("tempfile.tempdir", None)
    (tmp_path / "temporary").mkdir()
    out = tmp_path / "cost.json"
    command = ["-c", str(tiny / "one.yaml"), "-o", "epochs=2", "--out", str(out)]
    assert run_files_cost(command) in (0, 1)  # a run of a second has no time for pictures
    result = json.loads(out.read_text())
    parts = result["parts"]
    assert parts.keys() == PARTS.keys() and all(part["seconds"] > 0 for part in parts.values())
    calls = {name: part["calls"] for name, part in parts.items()}
    assert (calls["epoch"], calls["end"], result["epochs"]) == (2, 1, 2)
    assert 1 <= calls["best"] <= 2 < calls["scalars"]
    spent = sum(part["seconds"] for part in parts.values())
    assert result["share"] == pytest.approx(spent / result["rest_seconds"])
    assert result["within_goal"] == (result["share"] <= result["goal"] == 0.02)
    assert f"{100 * result['share']:.2f} %" in capsys.readouterr().out
    assert not list((tmp_path / "temporary").iterdir())


def test_the_loader_is_timed_by_workers(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "loader.json"
    command = ["-c", str(tiny / "one.yaml"), "--workers", "0", "2", "--clips", "6"]
    command += ["--steps", "2", "--repetitions", "2", "--out", str(out)]
    assert loader([*command]) == 0
    rows = json.loads(out.read_text())["workers"]
    assert [row["workers"] for row in rows] == [0, 2]
    for row in rows:
        low, high = row["clips_per_second_spread"]
        assert 0 < low <= row["clips_per_second"] <= high and 0 <= row["waiting"] < 1
    assert "clips/s" in capsys.readouterr().out
    assert loader(["-c", str(tiny / "one.yaml"), "--workers", "-1"]) == 2
    assert "--workers is -1; allowed: 0 to 1024" in capsys.readouterr().err


def test_a_step_is_timed_against_paddlevideos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout = os.environ.get("CLIPDUET_PADDLEVIDEO")
    assert paddlevideo_step(["--checkout", str(tmp_path)]) == 2
    assert "no checkout" in capsys.readouterr().err
    if not checkout:
        pytest.skip("CLIPDUET_PADDLEVIDEO is not set: the path of a PaddleVideo checkout")
    out = tmp_path / "step.json"
    command = ["--checkout", checkout, "--batch-size", "1", "--seconds", "1"]
    assert paddlevideo_step([*command, "--repetitions", "1", "--out", str(out)]) in (0, 1)
    networks = json.loads(out.read_text())["networks"]
    assert set(networks) == {"student", "pair"}
    assert all(row["logits_difference"] < 1e-3 for row in networks.values())


def test_one_network_alone_has_no_pair_to_time(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert step_cost(["-c", str(tiny / "one.yaml")]) == 2
    assert "RecognizerDistillation" in capsys.readouterr().err
