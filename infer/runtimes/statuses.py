"""Which backends can run on this machine, and why the others cannot."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from ..system.hardware import cores
from ..system.subprocess_call import ask
from .registry import BACKENDS
from .status import Status

PROBE = f"{__package__}.probe"
"""Run in another process, and not imported here: it loads what this process is kept from."""


def statuses(backends: Iterable[str] = tuple(BACKENDS), *, seconds: float = 60) -> list[Status]:
    """Try backends, each in a process of its own: no broken package can harm this one.

    Args:
        backends: names of `BACKENDS`.
        seconds: one that has not answered by then cannot run.
    """

    def one(backend: str) -> Status:
        answer = ask(PROBE, "probe_json", [backend], seconds=seconds)
        if answer.problem is not None:
            reason = f"trying it failed: {answer.problem}"
            return Status(backend, False, reason, None, BACKENDS[backend].install)
        return Status(**answer.value)

    with ThreadPoolExecutor(max(2, cores())) as pool:
        return list(pool.map(one, backends))
