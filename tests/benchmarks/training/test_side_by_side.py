"""Trainings at once: each in its log, one stop for all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.common import machine
from benchmarks.side_by_side import main as side_by_side
from benchmarks.training.runs import Job, conditions_of
from tests.terminal import on_terminal
from train.config.load import load_config


def test_trainings_side_by_side(
    tiny: Path, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(root)
    runs = [f"{tiny}/one.yaml={tmp_path}/one", f"{tiny}/two.yaml={tmp_path}/two"]
    assert side_by_side([*runs, "--seed", "6"]) == 0
    assert "2 of 2 trainings done" in capsys.readouterr().err
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
    assert "CONFIG=FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize(("training", "status"), [(1, 1), (2, 2), (137, 1)])
def test_a_training_that_fails_gives_its_status(
    training: int, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Wrong use of it is wrong use here; whatever else ended it, the work failed."""
    code = f"raise SystemExit({training})"
    monkeypatch.setattr(Job, "command", property(lambda job: [sys.executable, "-c", code]))
    assert side_by_side([f"a.yaml={tmp_path / 'a'}"]) == status
    assert f"training a failed with status {training}" in capsys.readouterr().err


def test_a_narrow_terminal_shows_a_line_a_training_and_cuts_no_column(
    tiny: Path, tmp_path: Path
) -> None:
    runs = [f"{tiny}/{name}.yaml={tmp_path}/{name}" for name in ("one", "two")]
    arguments = ("-m", "benchmarks.side_by_side", *runs, "-o", "epochs=20")
    status, said = on_terminal(*arguments, columns=60, cwd=tmp_path)
    assert status == 0, said
    lines = [re.sub(r"\x1b\[\d*[A-Z]", "", line).rstrip() for line in re.split(r"[\r\n]+", said)]
    assert max(map(len, lines)) <= 60
    assert "2 of 2 trainings done" in lines[-2]
    running = [line.split() for line in lines if "epoch" in line]
    assert {name for name, *_ in running} == {"one", "two"}
    for words in running:
        # The accuracy of training and that of validation are told apart, and whole.
        assert re.search(r"\d$|\)$|left$|clips/s$", words[-1]), words
        assert "top-1" not in words or words[words.index("top-1") - 1] in ("train", "val")


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
    while not all(log.is_file() and "epoch 2/" in log.read_text() for log in logs):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, number)  # as a terminal does
    assert process.wait(180) == 128 + number
    assert process.stderr is not None and "goes on from the last" in process.stderr.read()
    for log in logs:
        assert "--resume" in log.read_text().splitlines()[-1]
