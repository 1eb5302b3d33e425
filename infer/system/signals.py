"""Commands that end in order when they are told to: SIGTERM and SIGHUP as an exception.

Python turns SIGINT into a KeyboardInterrupt, and clean-up runs; SIGTERM and SIGHUP end the process
at once, with temporary files left and nothing said. Here they are a KeyboardInterrupt too. None of
them gets lost in a library: of an interruption of its import it may make an ImportError.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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


def end_at_once() -> None:
    """For a command that has not begun: Ctrl-C ends the process with 130, nothing more is said.

    `run_and_exit` brings KeyboardInterrupt back. A signal that the process ignores stays ignored.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _end)


def begin() -> None:
    """Take back `end_at_once`."""
    if signal.getsignal(signal.SIGINT) is _end:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _end(number: int, frame: FrameType | None) -> None:
    os._exit(128 + number)


@contextmanager
def importing() -> Iterator[None]:
    """For the import of a package: signals wait for its end, and handlers stay what they were.

    NumPy's and pybind11's C code make an ImportError of an exception that a handler raises
    meanwhile, and some packages drop it; Paddle sets handlers of its own. A request that is
    repeated after `ONE_REQUEST` seconds does not wait. In another thread than the main one this
    changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before: dict[int, Any] = {n: signal.getsignal(n) for n in (signal.SIGINT, *SIGNALS)}
    waiting: dict[int, float] = {}

    def wait(number: int, frame: FrameType | None) -> None:
        if time.monotonic() - waiting.setdefault(number, time.monotonic()) >= ONE_REQUEST:
            handle(number, frame)

    def handle(number: int, frame: FrameType | None) -> None:
        if callable(before[number]):
            before[number](number, frame)

    for number, handler in before.items():
        if callable(handler):
            signal.signal(number, wait)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        for number in waiting:
            handle(number, None)


@contextmanager
def handled(
    numbers: Iterable[int], handler: Callable[[int, FrameType | None], None]
) -> Iterator[None]:
    """Handle signals while the body runs; one that the process ignores stays ignored."""
    # None: a handler that C code has set, which Python could not put back.
    before: dict[int, Any] = {
        number: found
        for number in numbers
        if (found := signal.getsignal(number)) not in (signal.SIG_IGN, None)
    }
    try:
        for number in before:
            signal.signal(number, handler)
        yield
    finally:
        for number, found in before.items():
            signal.signal(number, found)


@contextmanager
def stoppable() -> Iterator[None]:
    """Raise `Stopped` in the main thread on SIGTERM and SIGHUP while the body runs.

    What was raised, or KeyboardInterrupt for SIGINT, is raised again at the end where the body ends
    in another way: a library may have swallowed it, or made another error of it.

    A signal that the process ignores stays ignored (`nohup`). In another thread than the main
    one this changes nothing: only the main thread may set handlers. Handlers are restored at the
    end.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raised: list[KeyboardInterrupt] = []
    last = -ONE_REQUEST
    owner = os.getpid()

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if os.getpid() != owner:  # a forked worker has nothing to put in order
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        again = time.monotonic() - last < ONE_REQUEST
        if not again:
            last = time.monotonic()
            raised.append(Stopped(number))
            raise raised[-1]

    def interrupt(number: int, frame: FrameType | None) -> None:
        try:
            of_sigint(number, frame)
        except KeyboardInterrupt as error:
            raised.append(error)
            raise

    of_sigint: Any = signal.getsignal(signal.SIGINT)
    interrupting = (signal.SIGINT,) if callable(of_sigint) else ()
    with handled(SIGNALS, stop), handled(interrupting, interrupt):
        try:
            yield
        except KeyboardInterrupt:
            raise
        except BaseException:
            if raised:
                raise raised[0] from None
            raise
        if raised:
            raise raised[0]
