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
def pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """An executor for the body; whatever ends the body, jobs that have not begun are left out."""
    # Spawned, not forked: a copy of a process with threads (Paddle's, OpenCV's) has their locks as
    # they were at that moment, and may wait for one of them forever.
    context = multiprocessing.get_context("spawn")
    executor = ProcessPoolExecutor(workers, mp_context=context, initializer=_serve)
    try:
        yield executor
    finally:
        executor.shutdown(cancel_futures=True)


def _serve() -> None:
    """A worker ends when the parent has no more work, or has ended; stops are the parent's."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_parent, daemon=True).start()


def _end_with_the_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        # Nobody is left who would ask the worker to end, or would want what it does.
        os._exit(1)
