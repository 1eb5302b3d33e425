"""Processes that train together, started as users start them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from tests.train.tiny import PAIR, STUDENT

CALM = {**STUDENT, "backbone": {**STUDENT["backbone"], "dropout_prob": 0.0}}
"""Without dropout, whose draws follow from a process's place in its team."""
CALM_PAIR = {**PAIR, "models": [{"Teacher": CALM}, {"Student": CALM}]}
"""Of two students: the teacher's max pool passes gradients where flat pixels tie, by chance."""
SLOW = {"name": "Momentum", "momentum": 0.9,
        "learning_rate": {"name": "Constant", "learning_rate": 0.003}}  # fmt: skip


def launch(
    root: Path, logs: Path, config: Path, *arguments: str, processes: int = 2,
    machines: Sequence[str] = (),
) -> subprocess.Popen[str]:  # fmt: skip
    """The launcher with `processes` of one thread each; `machines` are more options of it."""
    script = [str(root / "train" / "__main__.py"), "-c", str(config), *arguments]
    return launch_script(root, logs, script, processes=processes, machines=machines)


def launch_script(
    root: Path, logs: Path, script: Sequence[str], *, processes: int = 2,
    machines: Sequence[str] = (),
) -> subprocess.Popen[str]:  # fmt: skip
    """The same for any script and its arguments."""
    command = [sys.executable, "-m", "paddle.distributed.launch", "--log_dir", str(logs)]
    command += ["--nproc_per_node", str(processes), *machines, *script]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        command, cwd=root, env={**environment, "PYTHONPATH": str(root)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str], *, seconds: float = 240) -> str:
    """Its output, when it has ended well."""
    output, _ = process.communicate(timeout=seconds)
    assert process.returncode == 0, output[-3000:]
    return output


def near(a: dict[str, np.ndarray], b: dict[str, np.ndarray], tolerance: float) -> bool:
    assert a.keys() == b.keys()
    return all(np.allclose(a[key], b[key], rtol=tolerance, atol=tolerance) for key in a)
