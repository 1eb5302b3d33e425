"""Try a backend: import it, and run the smallest of graphs where that is cheap."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..system.errors import BackendUnavailable
from .common import short
from .implementations import implementation
from .registry import BACKENDS
from .status import Status

__all__ = ["Status", "probe_backend", "probe_json"]


def probe_backend(backend: str) -> Status:
    """Try a backend in this process; `statuses` does it in another.

    A package that raises is an answer; one that crashes takes the process with it.
    """
    known = BACKENDS[backend]
    release: str | None = None
    try:
        tried = implementation(known)
        release = tried.version(known)
        tried.check(known)
    except BackendUnavailable as error:
        return Status(backend, False, error.reason, release, error.remedy)
    except Exception as error:
        reason = f"{type(error).__name__}: {short(error)}"
        return Status(backend, False, reason, release, known.install)
    return Status(backend, True, "", release)


def probe_json(backend: str) -> dict[str, Any]:
    """`probe_backend` for a process that only JSON leaves."""
    return asdict(probe_backend(backend))
