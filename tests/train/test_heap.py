"""Freed memory stays with the process, so that the system clears no page twice."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

STEPS = """
import resource
import numpy as np
from train.heap import keep_memory

assert keep_memory() is {kept}

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(20):
        np.ones(6 << 20, np.uint8), np.ones(40 << 20, np.uint8)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
print(faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_large_arrays_take_the_memory_of_those_before() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STEPS.format(kept=True)], capture_output=True, text=True, check=True
    )
    assert int(done.stdout) < 1000  # by itself 20 times 40 MiB are 200,000 pages


def test_another_library_is_left_as_it_is() -> None:
    other = "import platform\nplatform.libc_ver = lambda: ('', '')\n"
    subprocess.run([sys.executable, "-c", other + STEPS.format(kept=False)], check=True)
