"""`python -m benchmarks.loader -c CONFIG`: how fast clips come, and whether training waits.

Reads training clips as training does, drawn and augmented, by numbers of workers in turns: clips
a second of the loader alone, and the share of its time that a training which takes its steps
meanwhile spends waiting. Nothing is timed unless every number of workers gives the same pixels.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.common import machine
from benchmarks.common.command import REPETITIONS, add_config, add_out, carry_out, measuring
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import header
from export.option_limits import CLIPS, WORKERS, Allowed
from infer.command.parser import Parser
from infer.command.runner import run_and_exit

if TYPE_CHECKING:
    from train.data.dataset import ClipDataset
    from train.data.loader import Batch


NUMBERS = {"clips": CLIPS, "steps": Allowed(1, 1_000_000), "repetitions": REPETITIONS,
           "workers": WORKERS}  # fmt: skip


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.loader",
        description="Time the reading of training clips, alone and beside training.",
    )
    add = parser.add_argument
    add_config(parser, "configs/methods/dml.yaml")
    add("--workers", type=int, nargs="+", default=[0, 1, 2, 4], help="default: %(default)s")
    add("--clips", type=int, default=320, help="clips a repetition (default: %(default)s)")
    add("--steps", type=int, default=10, help="training steps beside each (default: %(default)s)")
    add("--repetitions", type=int, default=3, help="repetitions whose spread is reported")
    add_out(parser)
    options = parser.parse_args(arguments)
    result = carry_out(run, options, allowed=NUMBERS)
    for row in result["workers"]:
        low, high = row["clips_per_second_spread"]
        print(
            f"{row['workers']:3d} workers {row['clips_per_second']:8.0f} clips/s "
            f"({low:.0f} to {high:.0f}); training waits {row['waiting']:.1%} of its time"
        )
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Check and time; JSON-ready."""
    from benchmarks.training.steps import training_step
    from train.config.load import load_config
    from train.data.splits import build_dataset
    from train.distill.build_recognizer import build_recognizer
    from train.process import prepare_process

    prepare_process()
    # Memory would hold the clips after their first epoch; it is reading that is measured.
    cfg = load_config(options.config, [*options.override, "DATASET.cache=false"])
    dataset = build_dataset(cfg, "train")
    batch = min(cfg.DATASET.batch_size, len(dataset))
    _check(dataset, batch, options.workers)
    step = training_step(cfg, build_recognizer(cfg.model, seed=0), seed=0)
    step()
    rates: dict[int, list[float]] = {count: [] for count in options.workers}
    waits: dict[int, list[float]] = {count: [] for count in options.workers}
    for repetition in range(options.repetitions):
        for count in np.random.default_rng(repetition).permutation(options.workers).tolist():
            rates[count].append(_rate(dataset, batch, count, options.clips, repetition))
            waits[count].append(_waiting(dataset, batch, count, step, options.steps, repetition))
    return {
        **header("clipduet-loader", 1),
        "config": options.config,
        "config_sha256": cfg.sha256(),
        "clip_shape": list(dataset.clip_shape),
        "batch_size": batch,
        "clips": options.clips,
        "steps": options.steps,
        "machine": machine.machine(),
        "load": machine.load_average(),
        "workers": [
            {
                "workers": count,
                "clips_per_second": float(np.median(rates[count])),
                "clips_per_second_spread": [min(rates[count]), max(rates[count])],
                "waiting": float(np.median(waits[count])),
                "waiting_spread": [min(waits[count]), max(waits[count])],
            }
            for count in options.workers
        ],
    }


def _batches(dataset: ClipDataset, batch: int, workers: int, seed: int) -> Iterator[Batch]:
    """Batch after batch, over as many epochs as it takes."""
    from train.data.loader import epoch_batches

    epoch = 0
    while True:
        yield from epoch_batches(
            dataset,
            batch_size=batch,
            seed=seed,
            epoch=epoch,
            shuffle=True,
            drop_last=True,
            workers=workers,
        )
        epoch += 1


def _check(dataset: ClipDataset, batch: int, workers: Sequence[int]) -> None:
    expected = next(_batches(dataset, batch, 0, 0))
    if not len(expected.labels):
        raise BenchmarkError("no clip of the first batch can be read")
    for count in workers:
        found = next(_batches(dataset, batch, count, 0))
        if not np.array_equal(found.clips, expected.clips):
            raise BenchmarkError(f"{count} workers read other pixels than none")


def _rate(dataset: ClipDataset, batch: int, workers: int, clips: int, seed: int) -> float:
    """Clips a second of the loader alone."""
    batches, seen = _batches(dataset, batch, workers, seed), 0
    begin = time.perf_counter()
    while seen < clips:
        seen += len(next(batches).labels)
    return seen / (time.perf_counter() - begin)


def _waiting(
    dataset: ClipDataset,
    batch: int,
    workers: int,
    step: Callable[[], object],
    steps: int,
    seed: int,
) -> float:
    """Share of the time of some steps that went by before their clips were there."""
    batches = _batches(dataset, batch, workers, seed)
    next(batches)  # the start of the threads is not a step's
    begin, waited = time.perf_counter(), 0.0
    for _ in range(steps):
        before = time.perf_counter()
        next(batches)
        waited += time.perf_counter() - before
        step()
    return waited / (time.perf_counter() - begin)


if __name__ == "__main__":
    run_and_exit(main)
