"""Commands that end in order when they are told to: SIGTERM and SIGHUP as an exception.

Python turns SIGINT into a KeyboardInterrupt, and clean-up runs; SIGTERM and SIGHUP end the process
at once, with temporary files left and nothing said. Here they are a KeyboardInterrupt too.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import FrameType
from typing import Any

SIGNALS = (signal.SIGTERM, signal.SIGHUP)
ONE_REQUEST = 2.0
"""Seconds in which further signals belong to the first one: `timeout` and service managers send
two, and the second must not end the clean-up after the first."""


class Stopped(KeyboardInterrupt):
    """A signal asked the process to end.

    Attributes:
        number: the signal, for example SIGTERM.
    """

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


def exit_status(stop: KeyboardInterrupt) -> int:
    """What a command ends with after it was stopped: 143 SIGTERM, 129 SIGHUP, 130 Ctrl-C."""
    return 128 + (stop.number if isinstance(stop, Stopped) else signal.SIGINT)


@contextmanager
def keep_handlers() -> Iterator[None]:
    """For the import of a package that sets signal handlers of its own, as Paddle does."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *SIGNALS)}
    yield
    if threading.current_thread() is threading.main_thread():
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)


def import_paddle() -> Any:
    """Import Paddle without the signal handlers that it sets, in Python and in C++."""
    with keep_handlers():
        paddle = import_module("paddle")
        paddle.disable_signal_handler()
    return paddle


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` in the main thread on SIGTERM and SIGHUP while the body runs.

    A signal that the process ignores stays ignored (`nohup`). In another thread than the main
    one this changes nothing: only the main thread may set handlers. Handlers are restored at the
    end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    heard: list[float] = []
    owner = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        if os.getpid() != owner:  # a forked worker has nothing to put in order
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        again = bool(heard) and time.monotonic() - heard[-1] < ONE_REQUEST
        if not again:
            heard.append(time.monotonic())
            raise Stopped(number)

    # None: a handler that C code has set, which Python could not put back.
    before = {
        number: handler
        for number in SIGNALS
        if (handler := signal.getsignal(number)) not in (signal.SIG_IGN, None)
    }
    try:
        for number in before:
            signal.signal(number, stop)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
