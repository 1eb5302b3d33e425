"""Signals that end a command, as an exception."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator

import pytest

from infer.system.signals import ONE_REQUEST, SIGNALS, Stopped, exit_status, importing, stoppable


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, *SIGNALS)}
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


ALL = [(signal.SIGINT, 130), *((number, {15: 143, 1: 129}[number]) for number in SIGNALS)]


@pytest.mark.parametrize(("number", "status"), ALL)
@pytest.mark.parametrize("becomes", [None, ImportError, SystemExit])
def test_a_signal_that_a_library_swallows_ends_the_body_all_the_same(
    number: int, status: int, becomes: type[BaseException] | None
) -> None:
    def library() -> None:
        try:
            os.kill(os.getpid(), number)
            pytest.fail("the signal did not arrive")
        except KeyboardInterrupt:
            if becomes is not None:
                raise becomes from None

    with pytest.raises(KeyboardInterrupt) as caught, stoppable():
        library()
    assert exit_status(caught.value) == status


@pytest.mark.parametrize(("number", "status"), ALL)
@pytest.mark.parametrize("fails", [False, True])
def test_an_import_is_not_interrupted_but_what_follows_it(
    number: int, status: int, fails: bool
) -> None:
    done = []

    def package() -> None:
        os.kill(os.getpid(), number)
        signal.signal(number, signal.SIG_IGN)  # as Paddle sets its own
        done.append("imported")
        if fails:
            raise ImportError("initialization failed")

    def work() -> None:
        handler = signal.getsignal(number)
        try:
            with importing(), importing():
                package()
            done.append("used")
        finally:
            assert signal.getsignal(number) == handler

    with pytest.raises(KeyboardInterrupt) as caught, stoppable():
        work()
    assert exit_status(caught.value) == status and done == ["imported"]


def test_an_import_that_hangs_is_interrupted_by_a_second_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    done = []

    def package() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)  # `timeout` sends it twice
        done.append("goes on")
        now[0] += ONE_REQUEST
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("ends")

    with pytest.raises(Stopped), stoppable(), importing():
        package()
    assert done == ["goes on"]


def test_an_import_without_handlers_is_as_any_other() -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with importing():
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with pytest.raises(ImportError), importing():
        raise ImportError


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
