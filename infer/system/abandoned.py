"""Threads that may wait in native code for ever, and that the end of the process leaves."""

from __future__ import annotations

import threading
from collections.abc import Callable
from weakref import WeakSet

_started: WeakSet[threading.Thread] = WeakSet()


def start_abandoned(work: Callable[[], None], *, name: str) -> None:
    """Start a thread that the end of the process does not wait for."""
    thread = threading.Thread(target=work, name=name, daemon=True)
    _started.add(thread)
    thread.start()


def any_abandoned() -> bool:
    """Whether one still runs: the interpreter must not be taken down while it uses its objects."""
    return any(thread.is_alive() for thread in list(_started))
