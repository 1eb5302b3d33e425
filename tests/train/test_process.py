"""What a process that trains asks of the C library and of the interpreter."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from train.process import share_interpreter

STEPS = """
import resource
import numpy as np
from train.process import keep_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        [np.ones(3 << 20, np.uint8) for _ in range(20)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

faults()
by_itself = faults()
assert keep_memory() is {kept}
faults()
print(by_itself, faults())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_large_arrays_take_the_memory_of_those_before() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STEPS.format(kept=True)], capture_output=True, text=True, check=True
    )
    by_itself, now = map(int, done.stdout.split())
    assert now < by_itself / 10


def test_another_library_is_left_as_it_is() -> None:
    other = "import platform\nplatform.libc_ver = lambda: ('', '')\n"
    subprocess.run([sys.executable, "-c", other + STEPS.format(kept=False)], check=True)


def test_no_thread_keeps_the_interpreter_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []
    monkeypatch.setattr(sys, "setswitchinterval", asked.append)
    share_interpreter()
    assert asked[0] < 0.005 / 10  # CPython's own is 5 ms


ZEROS = """
import ctypes
from train.process import zero_memory

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p

def all_zeros():
    for filled in (True, False):
        places = [libc.malloc(ctypes.c_size_t(20_000)) for _ in range(50)]
        zeros = [not any(ctypes.string_at(place, 20_000)) for place in places]
        for place in places:
            if filled:
                ctypes.memset(place, 1, 20_000)
            libc.free(ctypes.c_void_p(place))
    return all(zeros)

before = all_zeros()
assert zero_memory() is {zeroed}
assert (before, all_zeros()) == (False, {zeroed})
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library than glibc")
def test_what_is_allocated_begins_as_zeros() -> None:
    subprocess.run([sys.executable, "-c", ZEROS.format(zeroed=True)], check=True)


def test_another_library_does_not_promise_zeros() -> None:
    other = "import platform\nplatform.libc_ver = lambda: ('', '')\n"
    subprocess.run([sys.executable, "-c", other + ZEROS.format(zeroed=False)], check=True)
