"""A runtime and the processes that are forked from the one that opened it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import pytest

from infer.bundle.bundle import Bundle
from infer.runtimes.base import Runtime
from infer.runtimes.open import open_runtime
from infer.system.errors import BackendError

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")

CPU = ("onnxruntime", "openvino", "paddle")
CLIPS = np.full((2, 4, 32, 32, 3), 40, np.uint8)
SECONDS = 60
"""A child that has not ended by then never will: none has more than a moment's work."""

DONE, REFUSED, WRONG = 0, 3, 4


@pytest.fixture(params=CPU)
def runtime(request, bundle_for):
    bundle = Bundle.load(bundle_for(request.param))
    # Two threads: with one, there may be none that a child could miss.
    with open_runtime(bundle, backend=request.param, threads=2) as opened:
        opened.run(CLIPS)
        yield opened


def in_child(act: Callable[[], int]) -> int:
    """The exit status of a forked process that runs `act`; fails if it hangs."""
    child = os.fork()
    if child == 0:
        status = WRONG
        try:
            status = act()
        finally:
            os._exit(status)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.02)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    raise AssertionError("the child hangs")


def test_a_forked_child_is_refused_and_the_parent_goes_on(runtime: Runtime):
    before = runtime.run(CLIPS)

    def act() -> int:
        try:
            runtime.run(CLIPS)
        except BackendError as error:
            return REFUSED if str(os.getppid()) in str(error) else WRONG
        return DONE

    assert in_child(act) == REFUSED
    assert np.array_equal(runtime.run(CLIPS), before)


def test_closing_in_the_child_frees_nothing_of_the_parents(runtime: Runtime):
    before = runtime.run(CLIPS)

    def act() -> int:
        runtime.close()
        runtime.close()
        try:
            runtime.run(CLIPS)
        except BackendError:
            return REFUSED
        return DONE

    assert in_child(act) == REFUSED
    assert np.array_equal(runtime.run(CLIPS), before)


def test_a_fork_while_another_thread_runs(runtime: Runtime):
    """The lock of a runtime may be taken at the moment of the fork, and stays so in the child."""
    lock = getattr(runtime, "_lock", None)
    if lock is None:
        pytest.skip(f"{runtime.backend} has no lock of ours")

    def act() -> int:
        runtime.close()
        try:
            runtime.run(CLIPS)
        except BackendError:
            return REFUSED
        return DONE

    with lock:
        assert in_child(act) == REFUSED
    assert runtime.run(CLIPS).shape == (2, 3)


@pytest.mark.parametrize("backend", CPU)
def test_a_child_that_loses_it_ends(bundle_for, root, backend):
    """Neither dropping the last reference nor the end of the interpreter waits for threads."""
    code = f"""
import os, sys
import numpy as np
from infer.bundle.bundle import Bundle
from infer.runtimes.open import open_runtime
bundle = Bundle.load({str(bundle_for(backend))!r})
runtime = open_runtime(bundle, backend={backend!r}, threads=2)
runtime.run(np.zeros((2, 4, 32, 32, 3), np.uint8))
child = os.fork()
if child == 0:
    del runtime
    sys.exit(7)
_, status = os.waitpid(child, 0)
print(os.waitstatus_to_exitcode(status))
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        out, _ = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise AssertionError("the child hangs") from None
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert out.split() == ["7"]
