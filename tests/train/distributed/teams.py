"""Processes that train together, started as users start them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil

from tests.train.distributed.hosts import Host
from tests.train.tiny import PAIR, STUDENT
from train.checkpoints.checkpoint import LATEST, load_file

CALM = {**STUDENT, "backbone": {**STUDENT["backbone"], "dropout_prob": 0.0}}
"""Without dropout, whose draws follow from a process's place in its team."""
CALM_PAIR = {**PAIR, "models": [{"Teacher": CALM}, {"Student": CALM}]}
"""Of two students: the teacher's max pool passes gradients where flat pixels tie, by chance."""
STARTED: list[subprocess.Popen[str]] = []
"""What a test has started and, should it fail, conftest.py ends."""
SLOW = {"name": "Momentum", "momentum": 0.9,
        "learning_rate": {"name": "Constant", "learning_rate": 0.003}}  # fmt: skip


def launch(
    root: Path, logs: Path, config: Path, *arguments: str, processes: int = 2,
    machines: Sequence[str] = (), host: Host | None = None,
) -> subprocess.Popen[str]:  # fmt: skip
    """The launcher with `processes` of one thread each, on a host of two or on this machine.

    `machines` are more options of it.
    """
    script = [str(root / "train" / "__main__.py"), "-c", str(config), *arguments]
    return launch_script(root, logs, script, processes=processes, machines=machines, host=host)


def launch_script(
    root: Path, logs: Path, script: Sequence[str], *, processes: int = 2,
    machines: Sequence[str] = (), host: Host | None = None,
) -> subprocess.Popen[str]:  # fmt: skip
    """The same for any script and its arguments."""
    command = [
        *(host.command if host else ()),
        sys.executable,
        "-m",
        "paddle.distributed.launch",
        "--log_dir",
        str(logs),
    ]
    command += ["--nproc_per_node", str(processes), *machines, *script]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        command, cwd=root, env={**environment, "PYTHONPATH": str(root)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip
    STARTED.append(process)
    return process


def launch_several(
    root: Path, folder: Path, trainings: Sequence[Sequence[str]], *, processes: int = 2
) -> subprocess.Popen[str]:
    """The launcher with trainings, by their arguments, that one team does one after another."""
    file = folder / "several.json"
    file.write_text(json.dumps(trainings), encoding="utf-8")
    script = [str(root / "tests" / "train" / "distributed" / "several.py"), str(file)]
    return launch_script(root, folder / "log", script, processes=processes)


def finish(process: subprocess.Popen[str], *, seconds: float = 240) -> str:
    """Its output, when it has ended well."""
    output, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, output[-3000:]
    return output


def near(a: dict[str, np.ndarray], b: dict[str, np.ndarray], tolerance: float) -> bool:
    assert a.keys() == b.keys()
    return all(np.allclose(a[key], b[key], rtol=tolerance, atol=tolerance) for key in a)


def kill(process: subprocess.Popen[str]) -> None:
    """At once, with the processes that it started, which have sessions of their own."""
    if process.poll() is None:
        for one in (*psutil.Process(process.pid).children(recursive=True), process):
            one.kill()
    process.wait()


def wait_for_step(run: Path, step: int, processes: Sequence[subprocess.Popen[str]]) -> None:
    """Until a run's checkpoint is of a step; it is written after every one."""
    latest, deadline = run / LATEST, time.monotonic() + 240
    while not latest.is_file() or load_file(latest)["progress"]["step"] < step:
        assert all(process.poll() is None for process in processes)
        assert time.monotonic() < deadline
        time.sleep(0.05)
