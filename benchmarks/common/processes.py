"""Processes that are watched from outside: their memory, whether it grows, those below them."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

GROWTH = 0.1
"""Of memory, from the first fifth of the time to the last, that counts as flat."""


def resident_bytes(process: int) -> int:
    """Memory of a process that is in use; 0 where it has ended."""
    try:
        return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * os.sysconf(
            "SC_PAGE_SIZE"
        )
    except (OSError, IndexError):
        return 0


def first_and_last(resident: Sequence[int]) -> tuple[float, float]:
    """Mean of the first fifth of what was measured over time, and of the last; 0 of nothing."""
    fifth = max(len(resident) // 5, 1)
    return sum(resident[:fifth]) / fifth, sum(resident[-fifth:]) / fifth


def is_flat(resident: Sequence[int]) -> bool:
    """Whether memory that was measured over time does not grow by more than `GROWTH`."""
    first, last = first_and_last(resident)
    return last <= (1 + GROWTH) * first


def children(process: int) -> list[int]:
    """The processes that a process has started and that live."""
    found: list[int] = []
    for file in Path(f"/proc/{process}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += map(int, file.read_text().split())
    return found


def descendants(process: int) -> Iterator[int]:
    """The processes below a process: its children, theirs, and so on."""
    for child in children(process):
        yield child
        yield from descendants(child)


def command_line(process: int) -> list[str]:
    """The words of a process's command line, or its title alone; none where it has ended."""
    try:
        line = Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return []
    return line.decode(errors="replace").split("\0")
