"""`python -m benchmarks.run_files_cost -c CONFIG`: what history, pictures and scalars cost a run.

A config is trained into a temporary folder, and everything that it writes for people to look at is
timed where it is written. The rest of the run would be the same without it, so the share of both
is what a run is slowed down by: at most 2 %.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.common import machine
from benchmarks.common.command import add_config, add_out, carry_out, measuring
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import header
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from train.config.options import text_override

if TYPE_CHECKING:
    from train.evaluation.evaluate import Evaluation

GOAL = 0.02
"""Share of the rest of the run."""
PARTS = {
    "epoch": "history, and curves where there is time for them",
    "best": "answers of the best epoch",
    "end": "curves, confusion matrix, classes and wrong clips of the finished run",
    "scalars": "scalars for viewers",
}


class Clock:
    """Seconds and calls by part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time what is done inside."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] += time.perf_counter() - started
            self.calls[name] += 1


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 within the goal, 1 above it, 2 wrong use."""
    parser = Parser(
        prog="python -m benchmarks.run_files_cost",
        description="Train a config, and time what it writes for people to look at.",
    )
    add_config(parser, "configs/motions_baseline.yaml")
    add_out(parser)
    result = carry_out(run, parser.parse_args(arguments), allowed={})
    for name, part in result["parts"].items():
        print(f"{part['seconds']:8.2f} s in {part['calls']} calls: {PARTS[name]}")
    verdict = "within" if result["within_goal"] else "above"
    print(f"{100 * result['share']:.2f} % of the {result['rest_seconds']:.0f} s that the run takes "
          f"without them, {verdict} the goal of {100 * GOAL:g} %")  # fmt: skip
    return 0 if result["within_goal"] else 1


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Train and time; JSON-ready."""
    from train.config.load import load_config
    from train.data.splits import training_datasets
    from train.engine.loop import train
    from train.engine.reporter import Reporter
    from train.engine.run_files import RunFiles
    from train.engine.scalars import VIEWERS, Scalars
    from train.engine.stopping import stop_requests
    from train.stages.before import left

    clock = Clock()

    class TimedFiles(RunFiles):
        def epoch(self) -> None:
            with clock.part("epoch"):
                super().epoch()

        def best(self, result: Evaluation) -> None:
            with clock.part("best"):
                super().best(result)

        def end(self) -> None:
            with clock.part("end"):
                super().end()

    class TimedScalars(Scalars):
        def add(self, name: str, value: float, step: int) -> None:
            with clock.part("scalars"):
                super().add(name, value, step)

        def close(self) -> None:
            with clock.part("scalars"):
                super().close()

    viewers = [viewer for viewer in VIEWERS if find_spec(viewer.module)]
    with tempfile.TemporaryDirectory() as folder:
        cfg = load_config(options.config, [*options.override, text_override("output_dir", folder)])
        if left(cfg):
            raise BenchmarkError(f"{options.config} trains something else first: do that before")
        train_set, valid_set = training_datasets(cfg)
        started = time.perf_counter()
        reporter = Reporter(sys.stderr, scalars=TimedScalars(Path(folder), viewers))
        with stop_requests() as should_stop, closing(reporter):
            progress = train(
                cfg,
                train_set=train_set,
                valid_set=valid_set,
                reporter=reporter,
                should_stop=should_stop,
                files=TimedFiles,
            )
        seconds = time.perf_counter() - started
    spent = sum(clock.seconds.values())
    share = spent / max(seconds - spent, 1e-9)
    return {
        **header("clipduet-run-files-cost", 1),
        "config": options.config,
        "config_sha256": cfg.sha256(),
        "epochs": progress.epoch,
        "steps": progress.step,
        "viewers": [viewer.name for viewer in viewers],
        "machine": machine.machine(),
        "load": machine.load_average(),
        "parts": {
            name: {"seconds": clock.seconds[name], "calls": clock.calls[name]} for name in PARTS
        },
        "rest_seconds": seconds - spent,
        "share": share,
        "goal": GOAL,
        "within_goal": share <= GOAL,
    }


if __name__ == "__main__":
    run_and_exit(main)
