"""Signals that end a command, as an exception."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

from infer.system.signals import SIGNALS, Stopped, exit_status, stoppable


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_is_an_exception_and_its_exit_status(number: int, status: int) -> None:
    before = signal.getsignal(number)
    cleaned = []

    def work() -> None:
        try:
            os.kill(os.getpid(), number)
            pytest.fail("the signal did not arrive")
        finally:
            os.kill(os.getpid(), number)  # `timeout` sends it twice
            cleaned.append(True)

    with pytest.raises(KeyboardInterrupt) as caught, stoppable():
        work()
    assert isinstance(caught.value, Stopped) and exit_status(caught.value) == status
    assert cleaned and signal.getsignal(number) == before


def test_ctrl_c_is_130() -> None:
    assert exit_status(KeyboardInterrupt()) == 130


def test_an_ignored_signal_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stoppable():
        os.kill(os.getpid(), signal.SIGHUP)
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN


def test_another_thread_may_use_it() -> None:
    done = []

    def work() -> None:
        with stoppable():
            done.append(True)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert done


def test_a_forked_worker_dies_of_it_as_it_would_without() -> None:
    with stoppable():
        child = os.fork()
        if child == 0:
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os._exit(1)
        assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGTERM
