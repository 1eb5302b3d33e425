"""Worker processes: none is waited for in vain, none is left behind."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest

from train.data.processes import worker_pool

SLEEPERS = """
import time
from train.data.processes import worker_pool
if __name__ == "__main__":
    with worker_pool(2) as executor:
        print("begun", flush=True)
        list(executor.map(time.sleep, [60] * 8))
"""


def nap(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def test_a_worker_that_dies_idle_stops_the_others() -> None:
    """As the kernel kills one for its memory, while it holds what the others wait for."""
    begun = time.monotonic()
    with contextlib.suppress(BrokenProcessPool), worker_pool(3) as executor:
        workers = set(executor.map(nap, [0.5] * 6))
        assert len(workers) == 3
        napping = executor.submit(nap, 60)
        time.sleep(0.5)
        # Which of them naps is not known; with two gone, one that waits for a job is among them.
        for pid in list(workers)[:2]:
            os.kill(pid, signal.SIGKILL)
        napping.result(timeout=30)
    assert time.monotonic() - begun < 30
    assert not any(psutil.pid_exists(pid) for pid in workers)


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_does_not_wait_for_the_jobs(root: Path, times: int) -> None:
    """Neither does a second one, by someone who has no patience."""
    process = subprocess.Popen(
        [sys.executable, "-c", SLEEPERS], cwd=root, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None and process.stdout.readline() == "begun\n"
        time.sleep(2)
        for _ in range(times):
            os.killpg(process.pid, signal.SIGINT)
            time.sleep(0.05)
        assert "KeyboardInterrupt" in process.communicate(timeout=30)[1]
        assert process.returncode != 0
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
