"""Which stage of its run a training is, and how long those after it will take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What a stage takes: how many steps are left, and the seconds of one of them, on noise."""

    steps: int
    seconds: float


@dataclass(frozen=True)
class StageProgress:
    """Where a stage stands in its run.

    Attributes:
        number: from 1.
        total: stages of the run, itself included.
        name: what it does.
        later: all stages after it, in steps of this one; None: not known.
    """

    number: int = 1
    total: int = 1
    name: str = "training"
    later: float | None = 0.0

    @property
    def short(self) -> str:
        """What begins a line; "" for the only stage."""
        return f"stage {self.number}/{self.total}" if self.total > 1 else ""

    @property
    def long(self) -> str:
        """What begins a stage."""
        return f"stage {self.number} of {self.total}: {self.name}"


def stage_progress(names: Sequence[str], costs: Sequence[Cost | None]) -> list[StageProgress]:
    """Where each stage stands in the run.

    Args:
        names: of the stages in their order, the run's own last.
        costs: of each; None where it is not known.
    """
    found = []
    for number, (name, own) in enumerate(zip(names, costs, strict=True), start=1):
        rest = [cost.steps * cost.seconds for cost in costs[number:] if cost is not None]
        known = len(rest) == len(names) - number
        if not rest and known:
            later: float | None = 0.0
        else:
            later = sum(rest) / own.seconds if known and own is not None else None
        found.append(StageProgress(number, len(names), name, later))
    return found
