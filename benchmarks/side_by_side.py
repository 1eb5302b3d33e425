"""`python -m benchmarks.side_by_side CONFIG=FOLDER ...`: trainings at once, sharing the cores.

Each training writes to FOLDER/train.log; the newest line of every log is shown as it comes. A
training that was stopped goes on, one that is complete ends at once.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine
from benchmarks.errors import BenchmarkError
from benchmarks.study_runs import Job, train_all
from infer.errors import ClipDuetError
from infer.signals import exit_status


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 done, 2 wrong use or a failed training, 130 interrupted, 143 ended."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.side_by_side", description="Run trainings at once."
    )
    add = parser.add_argument
    add("runs", nargs="+", metavar="CONFIG=FOLDER", help="what to train, and where it goes")
    add("--seed", type=int, help="seed of all of them (default: each config's)")
    add("-o", "--override", action="append", default=[], metavar="A.B=VALUE",
        help="change a setting of all configs")  # fmt: skip
    options = parser.parse_args(arguments)
    threads = max(1, machine.cpu_count() // len(options.runs))
    terminal = sys.stderr.isatty()
    try:
        jobs = [_job(text, options.seed, tuple(options.override)) for text in options.runs]
        _say(f"{len(jobs)} trainings at once, threads each: {threads}")
        train_all(
            jobs,
            parallel=len(jobs),
            threads=threads,
            say=_redraw if terminal else _say,
            every=2.0 if terminal else 30.0,
        )
    except ClipDuetError as error:
        _say(f"error: {error}")
        return 2
    except KeyboardInterrupt as stop:
        _say("\nstopped; the same command goes on from the last checkpoints")
        return exit_status(stop)
    finally:
        if terminal:
            _say("")
    return 0


def _job(text: str, seed: int | None, overrides: tuple[str, ...]) -> Job:
    config, _, folder = text.partition("=")
    if not (config and folder):
        raise BenchmarkError(f"{text} is not CONFIG=FOLDER, such as my.yaml=runs/mine")
    return Job(Path(folder).name, Path(config), seed, Path(folder), overrides)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _redraw(line: str) -> None:
    width = shutil.get_terminal_size().columns
    print(f"\r\x1b[K{line[: width - 1]}", end="", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
