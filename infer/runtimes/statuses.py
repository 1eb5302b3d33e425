"""Which backends can run on this machine, and why the others cannot."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from infer.runtimes.registry import BACKENDS
from infer.system.hardware import cores
from infer.system.subprocess_call import ask


@dataclass(frozen=True)
class Status:
    """What became of trying a backend.

    reason    why it cannot run; "" if it can
    version   of its package, where that could be told
    remedy    a command that would change it, or ""
    """

    backend: str
    runs: bool
    reason: str
    version: str | None = None
    remedy: str = ""


def statuses(backends: Iterable[str] = tuple(BACKENDS), *, seconds: float = 60) -> list[Status]:
    """Try backends, each in a process of its own: no broken package can harm this one.

    Args:
        backends: names of `BACKENDS`.
        seconds: one that has not answered by then cannot run.
    """

    def one(backend: str) -> Status:
        answer = ask("infer.runtimes.probe", "probe_json", [backend], seconds=seconds)
        if answer.problem is not None:
            reason = f"trying it failed: {answer.problem}"
            return Status(backend, False, reason, None, BACKENDS[backend].install)
        return Status(**answer.value)

    with ThreadPoolExecutor(max(2, cores())) as pool:
        return list(pool.map(one, backends))
