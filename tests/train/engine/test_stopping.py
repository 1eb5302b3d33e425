"""Runs that are stopped or killed go on as if they had not been."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infer.system import signals
from infer.system.signals import Stopped, exit_status
from tests.train.engine.kills import command, killed_and_resumed
from tests.train.tiny import PAIR, run, same, stop_at, weights
from train.checkpoints.checkpoint import LATEST, load_file
from train.config.load import load_config
from train.data.splits import training_datasets
from train.engine.loop import train
from train.engine.stopping import stop_requests


def test_a_run_stopped_within_an_epoch_goes_on_as_if_it_had_not(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = experiment(PAIR, checkpoint_every_steps=2)
    whole = run(file, f"output_dir={tmp_path / 'whole'}")

    stop_at(monkeypatch, 7)
    with pytest.raises(KeyboardInterrupt):
        run(file, f"output_dir={tmp_path / 'stopped'}")
    monkeypatch.undo()
    assert load_file(tmp_path / "stopped" / LATEST)["progress"]["step"] == 6
    resumed = run(file, f"output_dir={tmp_path / 'stopped'}", resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "stopped"))
    assert resumed.best == whole.best
    assert untimed(resumed.history) == untimed(whole.history)


def untimed(history: list[dict[str, Any]]) -> list[dict[str, Any]]:
    cost = ("seconds", "training_seconds", "waiting", "memory")
    return [{k: v for k, v in record.items() if k not in cost} for record in history]


def test_a_stop_that_is_asked_for_writes_a_checkpoint_first(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    cfg = load_config(experiment(PAIR))
    train_set, valid_set = training_datasets(cfg)
    asked = iter([False, False, False, False, True])
    with pytest.raises(KeyboardInterrupt):
        train(cfg, train_set=train_set, valid_set=valid_set, should_stop=lambda: next(asked))
    assert load_file(tmp_path / "run" / LATEST)["progress"]["step"] == 5


@pytest.fixture
def environment(root: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(root)}


def test_kill_9_at_any_moment_then_resume_equals_an_uninterrupted_run(
    experiment: Callable[..., Path], tmp_path: Path, environment: dict[str, str]
) -> None:
    file = experiment(PAIR, epochs=5, checkpoint_every_steps=1)
    whole = run(file, f"output_dir={tmp_path / 'whole'}")
    twice = [signal.SIGKILL] * 2
    latest = killed_and_resumed(file, tmp_path / "killed", environment, signals=twice)
    progress = load_file(latest)["progress"]
    assert progress["step"] == whole.step
    assert progress["best"] == whole.best
    assert untimed(progress["history"]) == untimed(whole.history)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_run_without_a_traceback(
    experiment: Callable[..., Path],
    tmp_path: Path,
    environment: dict[str, str],
    number: signal.Signals,
) -> None:
    file = experiment(PAIR, epochs=500, checkpoint_every_steps=1)
    process = subprocess.Popen(
        command(file, tmp_path / "run"), env=environment, stderr=subprocess.PIPE, text=True
    )
    while process.poll() is None and not (tmp_path / "run" / LATEST).exists():
        time.sleep(0.01)
    process.send_signal(number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number, errors
    assert "--resume goes on" in errors and "Traceback" not in errors
    assert not [path for path in (tmp_path / "run").iterdir() if path.name.endswith(".partial")]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_stop_that_is_sent_twice_is_one_and_a_second_one_is_at_once(
    monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    """`timeout` sends its signal to the process and to its group."""

    def work() -> None:
        with stop_requests() as should_stop:
            assert not should_stop()
            signal.raise_signal(number)
            signal.raise_signal(number)
            assert should_stop()
            monkeypatch.setattr(signals, "ONE_REQUEST", 0.0)
            signal.raise_signal(number)
            pytest.fail("the second request did not end it")

    with pytest.raises(Stopped) as caught:
        work()
    assert exit_status(caught.value) == 128 + number


def test_ctrl_c_twice_is_at_once() -> None:
    def work() -> None:
        with stop_requests() as should_stop:
            signal.raise_signal(signal.SIGINT)
            assert should_stop()
            signal.raise_signal(signal.SIGINT)
            pytest.fail("the second request did not end it")

    with pytest.raises(KeyboardInterrupt):
        work()
