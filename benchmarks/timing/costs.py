"""What one bundle's deployments cost: latency by stage, throughput, memory.

Timed only after the answers were compared: a deployment that answers something else has no speed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

from benchmarks.common import machine
from benchmarks.common.errors import BenchmarkError
from benchmarks.deployments.answers import open_cell
from benchmarks.deployments.deployment import Deployment
from benchmarks.timing.latency import stages_in_turns, summarise, time_in_turns
from benchmarks.timing.memory import measure_memory
from benchmarks.timing.stages import answer, pixels_of_deployment
from infer.bundle.bundle import Bundle
from infer.runtimes.base import Clips, Logits, Runtime
from infer.system.errors import VideoError
from infer.system.hardware import cores
from train.data.dataset import ClipDataset
from train.data.lists import Sample

RATIO_CELL = Deployment("onnxruntime", "fp32")
TIMED_CLIPS = 100


@dataclass(frozen=True)
class Timing:
    """How deployments are timed.

    Attributes:
        batch: clips of a call, for the throughput.
        seconds: about how long latency takes, all cells together, and throughput once more.
        repetitions: how often each cell is timed, in turns.
        seed: of the order of the turns.
    """

    batch: int
    seconds: float
    repetitions: int
    seed: int


def time_all(
    bundle: Bundle,
    cells: Sequence[Deployment],
    dataset: ClipDataset,
    timing: Timing,
    *,
    threads: int,
    suffix: str = "",
) -> dict[str, Any]:
    """Latency by stage, throughput and memory of one bundle's deployments.

    All runtimes are open together and take turns. What goes through them is checked first: the
    pixels are those of deployment.

    Raises:
        BenchmarkError: no clip can be read, or the timed pixels are others.
    """
    samples, clips = _readable(dataset, timing.batch, suffix)
    batch = np.ascontiguousarray(clips[np.resize(np.arange(len(clips)), timing.batch)])
    with ExitStack() as stack:
        runtimes = {
            cell.key: stack.enter_context(open_cell(bundle, cell, threads)) for cell in cells
        }
        before = machine.cpu_times()
        stages = {
            key: _whole_call(bundle, runtime, samples, suffix) for key, runtime in runtimes.items()
        }
        with tqdm(total=100, desc="latency", unit="%", disable=None) as bar:
            by_stage = stages_in_turns(
                stages,
                len(samples),
                budget=timing.seconds,
                repetitions=timing.repetitions,
                seed=timing.seed,
                progress=_shown(bar),
            )
        with tqdm(total=100, desc="throughput", unit="%", disable=None) as bar:
            batches = time_in_turns(
                {key: _call(runtime, batch) for key, runtime in runtimes.items()},
                budget=timing.seconds,
                repetitions=timing.repetitions,
                seed=timing.seed,
                progress=_shown(bar),
            )
        others = machine.cores_of_others(before, machine.cpu_times())
    ratio_key = RATIO_CELL.key if RATIO_CELL.key in by_stage else None
    rows = []
    for key, found in by_stage.items():
        same = by_stage[ratio_key] if ratio_key else {}
        rows.append(
            {
                "cell": key,
                "stages": {
                    stage: summarise(timings, batch=1, reference=same.get(stage))
                    for stage, timings in found.items()
                },
                "throughput": summarise(
                    batches[key],
                    batch=timing.batch,
                    reference=batches[ratio_key] if ratio_key else None,
                ),
            }
        )
    return {
        "cores_of_others": others,
        "ratio_to": ratio_key,
        "clips": len(samples),
        "cells": rows,
        "memory": _memory(bundle, cells, threads),
    }


def _shown(bar: Any) -> Callable[[float], None]:
    """Moves a bar of 100 steps to a share."""
    return lambda share: bar.update(int(100 * share) - bar.n) and None


def _memory(bundle: Bundle, cells: Sequence[Deployment], threads: int) -> list[dict[str, Any]]:
    def measured(cell: Deployment) -> dict[str, Any]:
        return measure_memory(bundle.root, cell.key, threads=threads)

    # Nothing is timed here, so that processes may share the cores.
    with ThreadPoolExecutor(cores()) as pool:
        return list(tqdm(pool.map(measured, cells), "memory", len(cells), disable=None))


def _call(runtime: Runtime, batch: Clips) -> Callable[[], Logits]:
    return lambda: runtime.run(batch)


def _whole_call(
    bundle: Bundle, runtime: Runtime, samples: Sequence[Sample], suffix: str
) -> Callable[[int], Mapping[str, float]]:
    def call(item: int) -> Mapping[str, float]:
        done = answer(samples[item], bundle.spec, runtime.run, bundle.classes, suffix=suffix)
        return done.seconds

    return call


def _readable(dataset: ClipDataset, count: int, suffix: str) -> tuple[list[Sample], Clips]:
    """Samples from all over the list that can be read, and about `count` clips of the first."""
    spec = dataset.spec
    spread = np.linspace(0, len(dataset) - 1, min(len(dataset), TIMED_CLIPS)).astype(int)
    found: list[Sample] = []
    kept: list[Clips] = []
    for sample in (dataset.samples[index] for index in dict.fromkeys(spread.tolist())):
        try:
            expected = pixels_of_deployment(sample, spec, suffix=suffix)
        except VideoError:
            continue
        timed = answer(sample, spec, _no_network, ("none",), suffix=suffix).clips
        if not np.array_equal(expected, timed):
            raise BenchmarkError(f"{sample.path}: the timed pixels are not those of deployment")
        found.append(sample)
        if len(kept) < count:
            kept.append(expected)
    if not found:
        raise BenchmarkError("no clip of the list can be read; there is nothing to time")
    return found, np.concatenate(kept)


def _no_network(clips: Clips) -> Logits:
    return np.zeros((len(clips), 1), np.float32)
