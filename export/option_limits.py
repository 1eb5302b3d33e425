"""What the numbers and patterns of a command line may be, and all that are not, in one message."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, prod
from pathlib import Path
from typing import Any

from infer.bundle.manifest import MOST_BATCH
from infer.runtimes.base import MOST_THREADS
from infer.system.errors import ClipDuetError, listed
from infer.system.files import folder_obstacle
from infer.system.hardware import memory_bytes
from train.config.options import flag


class OptionError(ClipDuetError):
    """Options that cannot be worked with; `problems` holds a sentence about each mistake."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__(listed("wrong options", problems) if problems[1:] else problems[0])
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Allowed:
    """The values of an option, both ends included."""

    least: float
    most: float = inf
    unit: str = ""

    def __str__(self) -> str:
        unit = f" ({self.unit})" if self.unit else ""
        if self.most == inf:
            return f"{self.least:g} or more{unit}"
        return f"{self.least:g} to {self.most:.15g}{unit}"


THREADS = Allowed(1, MOST_THREADS)
WORKERS = Allowed(0, MOST_THREADS)
SEED = Allowed(0, (1 << 32) - 1)
CLIPS_OR_ALL = Allowed(0, unit="0: all")
CLIPS = Allowed(1)
BATCH = Allowed(1, MOST_BATCH)
POINTS = Allowed(0, 100, "points of top-1")
PERCENT = Allowed(0, 100, "per cent")
SHARE = Allowed(0, 1)


def number_problems(values: Mapping[str, Any], allowed: Mapping[str, Allowed]) -> list[str]:
    """A sentence for each number that is beyond what is allowed; NaN always is.

    Args:
        values: a number or a list of them, by the name of the option in Python; None: it was not
            given.
        allowed: of those that are looked at, by the same names.
    """
    found = []
    for name, limits in allowed.items():
        given = values[name]
        for value in given if isinstance(given, list) else [given]:
            if value is not None and not limits.least <= value <= limits.most:
                found.append(f"{flag(name)} is {value}; allowed: {limits}")
    return found


def pattern_problems(name: str, patterns: Iterable[str]) -> list[str]:
    """A sentence for each text that is no regular expression, or an empty one."""
    found = []
    for pattern in patterns:
        try:
            re.compile(pattern)
        except (re.error, OverflowError, RecursionError) as error:
            found.append(f"{flag(name)} {pattern!r} is no regular expression: {error}")
        if not pattern:
            found.append(f"{flag(name)} is empty, which would be found in every name")
    return found


def folder_problems(name: str, folder: str | Path) -> list[str]:
    """A sentence if a folder cannot be made or written, as far as can be known before."""
    obstacle = folder_obstacle(folder)
    return [f"{flag(name)} {folder}: {obstacle}"] if obstacle else []


def memory_problems(name: str, batch: int, clip_shape: Sequence[int]) -> list[str]:
    """A sentence if the clips of a batch alone, as bytes and as float32, exceed the memory.

    Args:
        name: the option.
        batch: its value.
        clip_shape: T, H, W, 3.
    """
    memory = memory_bytes()
    needed = batch * prod(clip_shape) * 5
    if memory is None or needed <= memory:
        return []
    return [
        f"{flag(name)} is {batch}: such a batch takes {needed / 1e9:.0f} GB for its clips alone, "
        f"this machine has {memory / 1e9:.0f} GB"
    ]


def refuse(problems: Sequence[str]) -> None:
    """Raise OptionError about everything that is wrong, if anything is."""
    if problems:
        raise OptionError(problems)
