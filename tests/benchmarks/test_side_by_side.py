"""Trainings at once: each in its log, one stop for all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks import machine
from benchmarks.side_by_side import main as side_by_side
from benchmarks.study_runs import conditions_of
from train.config import load_config


def test_trainings_side_by_side(
    tiny: Path, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(root)
    runs = [f"{tiny}/one.yaml={tmp_path}/one", f"{tiny}/two.yaml={tmp_path}/two"]
    assert side_by_side([*runs, "--seed", "6"]) == 0
    assert "2/2 trainings done" in capsys.readouterr().err
    given = [{"parallel": 2, "threads": max(1, machine.cpu_count() // 2)}]
    for name in ("one", "two"):
        assert load_config(tmp_path / name / "config.yaml").seed == 6
        assert (tmp_path / name / "best.pdparams").is_file()
        assert "best validation top-1" in (tmp_path / name / "train.log").read_text()
        assert conditions_of(tmp_path / name) == given
    assert side_by_side([runs[0], "--seed", "6"]) == 0
    assert conditions_of(tmp_path / "one") == given  # was finished, nothing was trained
    assert side_by_side([*runs, "-o", "DATASET.batch_size=400"]) == 2
    assert "do not fill one batch" in capsys.readouterr().err
    assert side_by_side(["one.yaml"]) == 2
    assert "one.yaml is not CONFIG=FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_lets_every_training_write_its_checkpoint(
    tiny: Path, tmp_path: Path, root: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "benchmarks.side_by_side", "-o", "epochs=1000"]
    command += [f"{tiny}/one.yaml={tmp_path}/one", f"{tiny}/two.yaml={tmp_path}/two"]
    process = subprocess.Popen(
        command, cwd=root, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    logs = [tmp_path / name / "train.log" for name in ("one", "two")]
    deadline = time.monotonic() + 120
    while not all(log.is_file() and "epoch   2" in log.read_text() for log in logs):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, number)  # as a terminal does
    assert process.wait(180) == 128 + number
    assert process.stderr is not None and "goes on from the last" in process.stderr.read()
    for log in logs:
        assert log.read_text().rstrip().endswith("--resume goes on from the last checkpoint")
