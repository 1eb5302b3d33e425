"""How long it takes: all cells timed in turns within one run, so that drift hits all alike.

A machine's clock, its temperature and its neighbours change by the minute; timing one cell after
the other measures them too. Here every turn visits every cell in a new random order, each cell
with one untimed call first (the caches and thread pools then are its own). Turns are grouped
into repetitions; the spread of their medians is what such a measurement is worth.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Clock = Callable[[], float]

MAX_BLOCK = 5  # timed calls a cell and turn
MAX_CALLS = 1000
STAGE_BLOCK = 3  # clips a deployment and turn that go from file to label


@dataclass(frozen=True)
class Timings:
    """Seconds of every timed call, by repetition."""

    seconds: tuple[tuple[float, ...], ...]

    @property
    def all(self) -> list[float]:
        """Seconds of all calls."""
        return [value for repetition in self.seconds for value in repetition]

    @property
    def medians(self) -> list[float]:
        """Median seconds of each repetition."""
        return [float(np.median(repetition)) for repetition in self.seconds]


def time_in_turns(
    calls: Mapping[str, Callable[[], object]],
    *,
    budget: float,
    repetitions: int = 5,
    warmup: int = 3,
    seed: int = 0,
    clock: Clock = time.perf_counter,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, Timings]:
    """Time `calls` interleaved, for about `budget` seconds in all.

    At least one turn a repetition is taken, whatever the budget: a slow network is timed less
    often, never left out.

    Raises:
        ValueError: nothing to time, no repetition, or no warm-up (its last call sets the number
            of turns).
    """
    if not calls or repetitions < 1 or warmup < 1:
        raise ValueError("give at least one call, one repetition and one warm-up call")
    estimates = []
    for call in calls.values():
        for _ in range(warmup):
            estimate = _timed(call, clock)
        estimates.append(estimate)
    one_round = max(sum(estimates), 1e-9)
    block = int(min(MAX_BLOCK, max(1, budget / repetitions / one_round - 1)))
    turns = int(budget / (one_round * (block + 1)) / repetitions)
    turns = max(1, min(turns, math.ceil(MAX_CALLS / block / repetitions)))
    rng = np.random.default_rng(seed)
    names = list(calls)
    taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    for repetition in range(repetitions):
        current: dict[str, list[float]] = {name: [] for name in names}
        for turn in range(turns):
            for place in rng.permutation(len(names)):
                call = calls[names[place]]
                call()
                current[names[place]] += [_timed(call, clock) for _ in range(block)]
            progress((repetition * turns + turn + 1) / (repetitions * turns))
        for name in names:
            taken[name].append(tuple(current[name]))
    return {name: Timings(tuple(values)) for name, values in taken.items()}


def summarise(timings: Timings, *, batch: int, reference: Timings | None = None) -> dict[str, Any]:
    """Percentiles in seconds a call, throughput in clips/s, and the ratio to `reference`.

    `p50_spread` are the smallest and largest median of a repetition; `ratio_spread` those of the
    ratio, repetition by repetition (both were timed in the same turns).
    """
    every = np.asarray(timings.all)
    p50, p90, p99 = (float(value) for value in np.percentile(every, [50, 90, 99]))
    row: dict[str, Any] = {
        "batch": batch,
        "calls": len(every),
        "repetitions": len(timings.seconds),
        "p50": p50,
        "p90": p90,
        "p99": p99,
        "p50_spread": [min(timings.medians), max(timings.medians)],
        "clips_per_second": batch * len(every) / max(float(every.sum()), 1e-12),
    }
    return row if reference is None else {**row, **ratio(timings, reference)}


def ratio(own: Timings, *others: Timings) -> dict[str, Any]:
    """Ratio of a median to the sum of others, and its smallest and largest repetition.

    All were timed in the same turns.
    """
    summed = map(sum, zip(*(one.medians for one in others), strict=True))
    each = [a / b for a, b in zip(own.medians, summed, strict=True)]
    return {
        "ratio": float(np.median(own.all)) / sum(float(np.median(one.all)) for one in others),
        "ratio_spread": [min(each), max(each)],
    }


def ratio_words(found: Mapping[str, Any], digits: int) -> str:
    """A `ratio` with its spread: 0.87 (0.85 to 0.90)."""
    low, high = found["ratio_spread"]
    return f"{found['ratio']:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def stages_in_turns(
    calls: Mapping[str, Callable[[int], Mapping[str, float]]],
    items: int,
    *,
    budget: float,
    repetitions: int = 5,
    seed: int = 0,
    clock: Clock = time.perf_counter,
    progress: Callable[[float], None] = lambda share: None,
) -> dict[str, dict[str, Timings]]:
    """Time calls that time their own stages, interleaved, for about `budget` seconds in all.

    A call takes the number of an item, below `items`, and returns seconds by stage. In a turn
    every call gets the same few items, drawn at random, after one more that is not counted. At
    least one turn a repetition is taken, whatever the budget.

    Returns:
        By call and stage.

    Raises:
        ValueError: no call, no item or no repetition.
    """
    if not calls or items < 1 or repetitions < 1:
        raise ValueError("give at least one call, one item and one repetition")
    rng = np.random.default_rng(seed)
    one_round = 0.0
    for call in calls.values():
        call(0)  # the first call of all is often the slowest by far
        start = clock()
        call(min(1, items - 1))
        one_round += clock() - start
    per_turn = max(one_round, 1e-9) * (STAGE_BLOCK + 1)
    turns = int(budget / per_turn / repetitions)
    turns = max(1, min(turns, math.ceil(MAX_CALLS / STAGE_BLOCK / repetitions)))
    names = list(calls)
    taken: dict[str, dict[str, list[list[float]]]] = {name: {} for name in names}
    for repetition in range(repetitions):
        for turn in range(turns):
            drawn = rng.integers(0, items, STAGE_BLOCK + 1).tolist()
            for place in rng.permutation(len(names)):
                name = names[place]
                calls[name](drawn[0])
                for item in drawn[1:]:
                    for stage, seconds in calls[name](item).items():
                        rows = taken[name].setdefault(stage, [])
                        rows += [[] for _ in range(repetition + 1 - len(rows))]
                        rows[repetition].append(seconds)
            progress((repetition * turns + turn + 1) / (repetitions * turns))
    return {
        name: {stage: Timings(tuple(map(tuple, rows))) for stage, rows in stages.items()}
        for name, stages in taken.items()
    }


def _timed(call: Callable[[], object], clock: Clock) -> float:
    start = clock()
    call()
    return clock() - start
