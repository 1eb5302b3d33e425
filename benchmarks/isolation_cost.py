"""What it costs to read videos in processes of their own: predict with and without `--isolate`.

`python -m benchmarks.isolation_cost --bundle DIR --video PATH ...`. Both answer the same videos in
turns, each turn in an order of its own, in this process and with the same network; what is compared
is the ratio of two runs of the same turn.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

from benchmarks.common.command import (
    REPETITIONS,
    add_bundle,
    add_out,
    add_videos,
    carry_out,
    measuring,
    named_videos,
)
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.machine import load_average, machine
from benchmarks.common.result_file import header
from export.option_limits import THREADS, Allowed
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.errors import VideoError

PLAIN, ISOLATED = "threads", "processes"
Answers = list[tuple[Any, ...]]


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.isolation_cost",
        description="Time predict with and without reading in processes of their own.",
    )
    add_bundle(parser)
    add_videos(parser, "data/motions/test")
    add = parser.add_argument
    add("--repetitions", type=int, default=10, help="turns (default: %(default)s)")
    add("--workers", type=int, default=2, help="that read videos (default: %(default)s)")
    add("--threads", type=int, default=2, help="of the network (default: %(default)s)")
    add_out(parser, "reports/service/isolation.json")
    options = parser.parse_args(arguments)
    allowed = {"repetitions": REPETITIONS, "workers": Allowed(1, 256), "threads": THREADS}
    result = carry_out(run, options, allowed=allowed)
    rate = {name: result["videos"] / result["median_seconds"][name] for name in (PLAIN, ISOLATED)}
    low, high = result["ratio_range"]
    print(
        f"{result['videos']} videos: {rate[PLAIN]:.1f} a second in threads, {rate[ISOLATED]:.1f} "
        f"in processes; with --isolate it takes {result['ratio']:.3f} times as long ({low:.3f} to "
        f"{high:.3f} in {options.repetitions} turns)"
    )
    print(f"the processes take {result['start_seconds']:.2f} s to begin, once")
    print(f"written: {options.out}")
    return 0


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure what the options say; JSON-ready.

    Raises:
        BenchmarkError: no videos, or the answers differ.
    """
    from infer.api import load
    from infer.clips.preprocess import load_clips
    from infer.isolation.reading import IsolatedReading
    from infer.pipeline.predictions import Load, predict_videos

    videos = named_videos(options)
    busy = load_average()
    with (
        load(options.bundle, backend="onnxruntime", threads=options.threads) as model,
        IsolatedReading(options.workers) as reading,
    ):
        spec, classes = model.bundle.spec, model.classes

        def answers(read: Load) -> Answers:
            found = predict_videos(
                videos, model.logits, spec, classes, workers=options.workers, load=read
            )
            return [(one.topk, one.error, one.warning) for one in found]

        ways = {PLAIN: lambda: answers(load_clips), ISOLATED: lambda: answers(reading.load)}
        # The first run of each fills caches, and waits for the processes.
        known = ways[PLAIN]()
        start = time.perf_counter()
        with IsolatedReading(options.workers) as begun, contextlib.suppress(VideoError):
            begun.load(videos[0], spec)
        start_seconds = time.perf_counter() - start
        if ways[ISOLATED]() != known:
            raise BenchmarkError("processes give other answers than threads")
        seconds = in_turns(ways, known, options.repetitions)
    ratios = [b / a for a, b in zip(seconds[PLAIN], seconds[ISOLATED], strict=True)]
    return {
        **header("clipduet.isolation_cost", 1),
        "bundle": options.bundle.name,
        "videos": len(videos),
        "answered": sum(error is None for _, error, _ in known),
        "workers": options.workers,
        "threads": options.threads,
        "seconds": seconds,
        "median_seconds": {name: statistics.median(each) for name, each in seconds.items()},
        "ratio": round(statistics.median(ratios), 4),
        "ratio_range": [round(min(ratios), 4), round(max(ratios), 4)],
        "start_seconds": round(start_seconds, 3),
        "load_average_before": busy,
        "machine": machine(),
    }


def in_turns(
    ways: dict[str, Callable[[], Answers]], known: Answers, repetitions: int
) -> dict[str, list[float]]:
    """Seconds of each way in each turn.

    Raises:
        BenchmarkError: one gives other answers than `known`.
    """
    dice = random.Random(0)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repetitions):
        for name in dice.sample(list(ways), len(ways)):
            start = time.perf_counter()
            found = ways[name]()
            seconds[name].append(round(time.perf_counter() - start, 4))
            if found != known:
                raise BenchmarkError(f"{name} give other answers than before")
    return seconds


if __name__ == "__main__":
    run_and_exit(main)
