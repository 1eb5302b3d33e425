"""Memory of a deployment in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import memory


def test_the_peak_grows_with_what_is_held() -> None:
    before = memory.peak_bytes()
    if before is None:
        pytest.skip("this system does not tell the peak of a process")
    held = np.ones(before // 8 + 5_000_000)  # more than was ever there
    after = memory.peak_bytes()
    assert after is not None and after - before > 30_000_000
    del held
    assert memory.peak_bytes() == pytest.approx(after, rel=0.02)


def test_the_peak_is_not_that_of_the_process_that_started_it() -> None:
    if memory.peak_bytes() is None:
        pytest.skip("this system does not tell the peak of a process")
    held = np.ones(60_000_000)  # 480 MB
    code = "from benchmarks.memory import peak_bytes; print(peak_bytes())"
    root = Path(memory.__file__).resolve().parent.parent
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert int(done.stdout) < held.nbytes / 2


def test_what_does_not_run_has_its_reason(tmp_path: Path) -> None:
    found = memory.measure_memory(tmp_path / "nowhere", "onnxruntime:fp32", threads=1)
    assert found["bytes"] is None and "nowhere is not there" in found["reason"]
