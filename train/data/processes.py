"""Processes that work off a list of jobs for this one, and do not outlive it."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def worker_pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """An executor for the body; Ctrl-C kills the workers, wherever they are.

    So jobs must write their results whole or not at all. After any other error, what has begun and
    what is queued already is done first.
    """
    # Spawned, not forked: a copy of a process with threads (Paddle's, OpenCV's) has their locks as
    # they were at that moment, and may wait for one of them forever.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_serve)
    before = set(multiprocessing.active_children())
    try:
        yield executor
    except KeyboardInterrupt:
        # Else the shutdown waits for what is queued, and a second Ctrl-C never comes back.
        for worker in set(multiprocessing.active_children()) - before:
            worker.kill()
        raise
    finally:
        executor.shutdown(cancel_futures=True)


def _serve() -> None:
    """A worker ends when the parent says so, or has ended; a terminal's Ctrl-C reaches both."""
    # Not SIGTERM: with that the executor ends the others when one has died, and waits for them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # Nobody is left who would ask the worker to end, or would want what it does.
        os._exit(1)
