"""`python -m benchmarks.side_by_side CONFIG=FOLDER ...`: trainings at once, sharing the cores.

Each training writes to FOLDER/train.log; the newest line of every log is shown as it comes, on a
terminal with as many of its parts as fit. A training that was stopped goes on, one that is complete
ends at once.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

from benchmarks import EXTRA
from benchmarks.common import machine
from benchmarks.common.errors import BenchmarkError
from benchmarks.training.runs import Job, train_all
from benchmarks.training.runs import log as states
from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.log import logger
from infer.system.terminal import can_redraw
from train.config.options import add_override
from train.engine.reporter import columns, fitting

log = logger("benchmarks.side_by_side")


@command(stopped="the same command goes on from the last checkpoints", extra=EXTRA)
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 1 a training failed, 2 wrong use."""
    parser = Parser(prog="python -m benchmarks.side_by_side", description="Run trainings at once.")
    add = parser.add_argument
    add("runs", nargs="+", metavar="CONFIG=FOLDER", help="what to train, and where it goes")
    add("--seed", type=int, help="seed of all of them (default: each config's)")
    add_override(parser)
    options = parser.parse_args(arguments)
    threads = max(1, machine.cpu_count() // len(options.runs))
    terminal = can_redraw(sys.stderr)
    jobs = [_job(text, options.seed, tuple(options.override)) for text in options.runs]
    log.info(f"{len(jobs)} trainings at once, threads each: {threads}")
    with _written_over() if terminal else nullcontext():
        train_all(jobs, parallel=len(jobs), threads=threads, every=2.0 if terminal else 30.0)
    return 0


def _job(text: str, seed: int | None, overrides: tuple[str, ...]) -> Job:
    config, _, folder = text.partition("=")
    if not (config and folder):
        raise BenchmarkError(f"{text} is not CONFIG=FOLDER, such as my.yaml=runs/mine")
    return Job(Path(folder).name, Path(config), seed, Path(folder), overrides)


@contextmanager
def _written_over() -> Iterator[None]:
    """Show each state of the trainings in place of the one before."""
    screen = _Screen()
    states.addHandler(screen)
    states.propagate = False
    try:
        yield
    finally:
        states.removeHandler(screen)
        states.propagate = True


class _Screen(logging.Handler):
    """A few lines at the end of a terminal that are written over."""

    def __init__(self) -> None:
        super().__init__()
        self._lines = 0

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        width = columns(sys.stderr) - 1
        # What stands before a line's text is no part of it.
        lines = [
            line[: len(line) - len(line.lstrip())] + fitting(line, width - 2)
            for line in text.splitlines()
        ]
        up = f"\x1b[{self._lines}A" if self._lines else ""
        shown = "".join(f"\x1b[K{line}\n" for line in lines)
        # Fewer lines than before: the rest is cleared.
        print(f"{up}\r{shown}\x1b[J", end="", file=sys.stderr, flush=True)
        self._lines = len(lines)


if __name__ == "__main__":
    run_and_exit(main)
