"""Stop between two steps when the user or the system asks for it.

A KeyboardInterrupt that hits Paddle's backward pass comes out as an error of Paddle's. So the
first SIGINT, SIGTERM or SIGHUP only sets a flag, which the loop looks at after every step; a second
one interrupts at once.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from infer.system import signals


@contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """Yield a function that tells whether a stop was asked for; main thread only.

    A KeyboardInterrupt that leaves the body becomes `infer.system.signals.Stopped` where SIGTERM or
    SIGHUP asked for it, so that the exit status says so. What the process ignores stays ignored
    (`nohup`), but for SIGINT, which shells let background processes ignore.
    """
    asked: list[int] = []
    last = 0.0
    owner = os.getpid()

    def ask(number: int, frame: FrameType | None) -> None:
        nonlocal last
        if os.getpid() != owner:  # a forked worker has nothing to finish
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        # `timeout` and service managers send two; a user who presses Ctrl-C twice means it.
        same = number in signals.SIGNALS and time.monotonic() - last < signals.ONE_REQUEST
        last = time.monotonic()
        if asked and not same:
            raise _exception(number)
        asked.append(number)

    ignored = (signal.SIG_IGN, None)
    numbers = [n for n in signals.SIGNALS if signal.getsignal(n) not in ignored]
    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, *numbers)}
    try:
        yield lambda: bool(asked)
    except signals.Stopped:
        raise
    except KeyboardInterrupt:
        if asked:
            raise _exception(asked[0]) from None
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _exception(number: int) -> KeyboardInterrupt:
    return KeyboardInterrupt() if number == signal.SIGINT else signals.Stopped(number)
