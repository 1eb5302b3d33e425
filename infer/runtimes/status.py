"""What became of trying a backend."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Status:
    """What became of trying a backend.

    reason    why it cannot run; "" if it can
    version   of its package, where it is known
    remedy    a command that would change it, or ""
    """

    backend: str
    runs: bool
    reason: str
    version: str | None = None
    remedy: str = ""
