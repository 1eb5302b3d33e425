"""What processes that train, or write clips, ask of the C library and of the interpreter."""

from __future__ import annotations

import ctypes
import platform
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_PERTURB = -1, -3, -6
"""Of `mallopt`, see malloc.h."""
NEVER = 2**31 - 1
LARGEST = 1 << 30
"""Bytes from which an allocation still gets memory of its own from the system."""


def prepare_process() -> None:
    """What every process that trains does first."""
    keep_memory()
    share_interpreter()


def keep_memory() -> bool:
    """Let freed memory stay with this process instead of going back to the system.

    A training step allocates and frees the same tensors every time. By itself glibc returns large
    ones, and the system clears every page anew: of a small network's step that is a sixth of the
    time. The peak of memory stays what it is; it is returned when the process ends.

    Returns:
        Whether it is so now; another C library than glibc is left as it is.
    """
    return _mallopt(M_TRIM_THRESHOLD, NEVER) and _mallopt(M_MMAP_THRESHOLD, LARGEST)


def zero_memory() -> bool:
    """Let what this process allocates begin as zeros.

    A library that reads what it has not written then reads the same every time.

    Returns:
        Whether it is so now; another C library than glibc is left as it is.
    """
    return _mallopt(M_PERTURB, 0xFF)  # glibc writes the bits' opposite


def _mallopt(name: int, value: int) -> bool:
    """Whether the C library is glibc, and took a setting of `mallopt`."""
    if platform.libc_ver()[0] != "glibc":
        return False
    return bool(ctypes.CDLL(None).mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1)


def share_interpreter() -> None:
    """Let threads that decode give up the interpreter after 0.1 ms, not CPython's 5 ms.

    A training step releases it in each of several hundred Paddle operators, and each time may wait
    that long for a thread of the loader.
    """
    sys.setswitchinterval(1e-4)
