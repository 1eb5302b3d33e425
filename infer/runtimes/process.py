"""A runtime belongs to the process that opened it: its threads and its GPU do not survive a fork.

In a forked child the threads that compute are not there. A call would wait for them for ever, and
so would freeing them. There, `run` is an error, and nothing is freed: it is the parent's.
"""

from __future__ import annotations

import ctypes
import os
from typing import Any
from weakref import WeakSet

from ..system.errors import BackendError

_OPEN: WeakSet[Any] = WeakSet()


def this_process(runtime: object) -> int:
    """Note that this process opens a runtime; returns the process's number."""
    _OPEN.add(runtime)
    return os.getpid()


def in_other_process(process: int) -> bool:
    """Whether the process of that number, which opened a runtime, is not this one."""
    return process != os.getpid()


def check_process(process: int, backend: str) -> None:
    """See that a runtime is used where it was opened.

    Args:
        process: what `this_process` returned.
        backend: of the runtime.

    Raises:
        BackendError: this is another process, forked from that one.
    """
    if in_other_process(process):
        raise BackendError(
            f"this {backend} runtime was opened in process {process} and cannot run in process "
            f"{os.getpid()}, which was forked from it: open one in each process, after the fork"
        )


def _keep_in_child() -> None:
    # A reference that is never given back: no garbage collection, nor the end of the interpreter,
    # waits for threads that are not there.
    for runtime in list(_OPEN):
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(runtime))


os.register_at_fork(after_in_child=_keep_in_child)
