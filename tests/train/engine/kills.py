"""Trainings that are killed at any moment and go on."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from train.checkpoints.checkpoint import LATEST


def command(file: Path, output: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "train", "-c", str(file), "--output", str(output), *more]


def killed_and_resumed(
    file: Path, output: Path, environment: dict[str, str], *, signals: Iterable[signal.Signals]
) -> Path:
    """Train with ``--resume`` to the end, ended by each of the signals before.

    Each comes up to 0.3 seconds after a new checkpoint.

    Returns:
        The last checkpoint.
    """
    rng = np.random.default_rng()
    latest = output / LATEST
    for number in signals:
        process = _start(file, output, environment)
        before = latest.stat().st_mtime_ns if latest.exists() else 0
        while process.poll() is None and not (
            latest.exists() and latest.stat().st_mtime_ns > before
        ):
            time.sleep(0.005)
        time.sleep(rng.uniform(0, 0.3))
        process.send_signal(number)
        _, errors = process.communicate(timeout=300)
        assert "Traceback" not in errors, errors
    process = _start(file, output, environment)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    return latest


def _start(file: Path, output: Path, environment: dict[str, str]) -> subprocess.Popen[str]:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command(file, output, "--resume"), env=environment, text=True, **pipes)
