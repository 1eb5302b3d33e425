"""Threads that may wait in native code for ever, and that the end of the process leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakSet

_started: WeakSet[threading.Thread] = WeakSet()
_of_libraries: set[str] = set()


def start_abandoned(work: Callable[[], None], *, name: str) -> None:
    """Start a thread that the end of the process does not wait for."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    _started.add(thread)
    thread.start()


def abandon_threads_of(library: str) -> None:
    """Say that a native library keeps threads that abort or hang a process which ends around them.

    Arrow's do (apache/arrow 34314 and 50482).
    """
    _of_libraries.add(library)


def any_abandoned() -> bool:
    """Whether one still runs: the interpreter must not be taken down while it uses its objects."""
    return bool(_of_libraries) or any(thread.is_alive() for thread in list(_started))
