"""Where a run stands, and the means of what its steps said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Progress:
    """Where a run stands; plain data, stored in every checkpoint.

    Attributes:
        epoch: epochs that are complete.
        batch: batches of the current epoch that are done.
        step: optimiser steps taken.
        best: the best validation so far: epoch, top1 (or -1 before the first).
        history: one record an epoch.
        skipped: training clips that could not be read, as `path: reason`.
        seconds: time spent training, over all sittings.
        waiting: seconds of the current epoch that went by waiting for clips.
        sums: of the current epoch's training figures, by name.
        counts: how many values each sum is of.
        began: `seconds` when the current epoch began; None in a run of before this was kept.
        extended: where the run was finished before, and for how many epochs it then went on:
            `{"epoch": ..., "step": ..., "epochs": ...}`, see `train.engine.length`.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    best: dict[str, Any] = field(default_factory=lambda: {"epoch": 0, "top1": -1.0})
    history: list[dict[str, Any]] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    seconds: float = 0.0
    waiting: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    began: float | None = None
    extended: list[dict[str, Any]] = field(default_factory=list)

    def add(self, values: Mapping[str, float]) -> None:
        """Take in the figures of one step; a loss term may be missing while its ramp is at 0."""
        for name, value in values.items():
            self.sums[name] = self.sums.get(name, 0.0) + value
            self.counts[name] = self.counts.get(name, 0) + 1

    def means(self) -> dict[str, float]:
        """The mean of every figure over the epoch so far."""
        return {name: total / self.counts[name] for name, total in self.sums.items()}

    def end_epoch(self, record: dict[str, Any]) -> None:
        """Begin the next epoch; `record` is that of the one that is complete."""
        self.epoch, self.batch = self.epoch + 1, 0
        self.sums, self.counts, self.waiting = {}, {}, 0.0
        self.history.append(record)
