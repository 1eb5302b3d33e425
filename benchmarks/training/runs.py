"""The trainings of a study: subprocesses side by side, continued where they stopped."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.errors import BenchmarkError, StepError
from infer.system.files import write_text
from infer.system.hardware import cores
from infer.system.log import logger
from infer.system.signals import stoppable
from train.engine.reporter import duration

log = logger(__name__)

CHECKPOINTS = {"best": "best.pdparams", "last": "latest.ckpt"}
LOG = "train.log"
CONDITIONS = "side_by_side.json"
TAIL = 4000  # bytes of a log that a message quotes at most
POLL = 1.0


def add_trainings(parser: argparse.ArgumentParser) -> None:
    """`--checkpoint`, `--parallel` and `--threads`."""
    parser.add_argument(
        "--checkpoint",
        choices=CHECKPOINTS,
        default="best",
        help="best on the validation list, or last (default: %(default)s)",
    )
    parser.add_argument("--parallel", type=int, default=min(2, cores()), help="trainings at a time")
    parser.add_argument("--threads", type=int, default=1, help="threads of each training")


@dataclass(frozen=True)
class Job:
    """One training: a config and a seed (None: the config's), in a folder of its own."""

    name: str
    config: Path
    seed: int | None
    folder: Path
    overrides: tuple[str, ...] = ()
    variables: tuple[tuple[str, str], ...] = ()
    """Of the environment, which the config asks for."""
    after: tuple[str, ...] = ()
    """Labels of jobs that must be done first."""
    tag: str = ""
    """What else tells it from other jobs, such as a fold."""

    @property
    def label(self) -> str:
        """Its name in messages."""
        parts = [self.name, "" if self.seed is None else str(self.seed), self.tag]
        return "-".join(filter(None, parts))

    @property
    def command(self) -> list[str]:
        """Continues a run that stopped; a finished one ends at once."""
        changes = [part for override in self.overrides for part in ("-o", override)]
        seed = [] if self.seed is None else ["--seed", str(self.seed)]
        return [
            sys.executable, "-m", "train", "-c", str(self.config), *seed,
            "--output", str(self.folder), "--resume", *changes,
        ]  # fmt: skip


@dataclass
class _Running:
    job: Job
    process: subprocess.Popen[bytes]
    started: float
    checkpoints: dict[Path, int]
    """When those were written that it goes on from."""


def train_all(
    jobs: Sequence[Job],
    *,
    parallel: int,
    threads: int,
    every: float = 60.0,
) -> None:
    """Run the jobs, `parallel` at a time with `threads` each; logs go to FOLDER/train.log.

    Args:
        jobs: what to train.
        parallel: trainings at a time.
        threads: CPU threads of each.
        every: seconds between two messages about the progress, a line for all and one for each
            running job; one comes whenever a job ends too.

    Raises:
        StepError: a training failed; the others were stopped and continue next time.
        KeyboardInterrupt: of Ctrl-C, SIGTERM or SIGHUP; the trainings wrote their checkpoints.
    """
    environment = os.environ | {
        name: str(threads) for name in ("OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
    }
    environment["PYTHONUNBUFFERED"] = "1"
    conditions = {"parallel": parallel, "threads": threads}
    waiting, running = list(jobs), list[_Running]()
    finished: list[tuple[Job, float]] = []
    begun = last = time.monotonic()
    with ExitStack() as stack:
        stack.enter_context(stoppable())
        stack.callback(_end, running, conditions)
        while waiting or running:
            while len(running) < parallel:
                undone = {one.label for one in (*waiting, *(one.job for one in running))}
                job = next((one for one in waiting if not undone & {*one.after}), None)
                if job is None:
                    break
                waiting.remove(job)
                job.folder.mkdir(parents=True, exist_ok=True)
                with (job.folder / LOG).open("ab") as output:
                    process = subprocess.Popen(
                        job.command,
                        stdout=output,
                        stderr=subprocess.STDOUT,
                        env=environment | dict(job.variables),
                        # A terminal's Ctrl-C would reach it beside ours, and a second signal ends
                        # a training without its checkpoint.
                        start_new_session=True,
                    )
                running.append(_Running(job, process, time.monotonic(), _written(job.folder)))
            time.sleep(POLL)
            for one in list(running):
                status = one.process.poll()
                _note(one, conditions)
                if status is None:
                    continue
                running.remove(one)
                if status != 0:
                    raise StepError(
                        f"training {one.job.label} failed with status {status}; "
                        f"the end of {one.job.folder / LOG}:\n{_tail(one.job.folder / LOG)}",
                        status,
                    )
                # One that was complete before says nothing about how long the others take.
                trained = _written(one.job.folder) != one.checkpoints
                finished.append((one.job, time.monotonic() - one.started if trained else 0.0))
                last = 0.0
            now = time.monotonic()
            if now - last >= every:
                last = now
                log.info(_state(len(jobs), finished, waiting, running, parallel, now - begun))


def _end(running: Sequence[_Running], conditions: dict[str, Any]) -> None:
    """Let them write their checkpoints, and wait for that."""
    for one in running:
        one.process.terminate()
    for one in running:
        one.process.wait()
        _note(one, conditions)


def conditions_of(folder: Path) -> list[dict[str, Any]]:
    """Under what `parallel` and `threads` a run was trained, each once; none: not recorded."""
    try:
        found: list[dict[str, Any]] = json.loads((folder / CONDITIONS).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    return found


def _note(one: _Running, conditions: dict[str, Any]) -> None:
    """Keep with a run under what conditions it went on, unless it was finished before."""
    folder = one.job.folder
    known = conditions_of(folder)
    if conditions not in known and _written(folder) != one.checkpoints:
        write_text(folder / CONDITIONS, json.dumps([*known, conditions]) + "\n")


def _written(folder: Path) -> dict[Path, int]:
    """When the checkpoints of a run, and of what it trains before it starts, were written."""
    last = CHECKPOINTS["last"]
    files = [folder / last, *folder.glob(f"before/*/{last}")]
    return {file: file.stat().st_mtime_ns for file in files if file.is_file()}


def check_environment(names: Iterable[str]) -> None:
    """Refuse variables that stand for what every run of a study makes for itself.

    Args:
        names: of `BEFORE` in the configs, such as `TEACHER`.

    Raises:
        BenchmarkError: one of them is set.
    """
    given = [f"{name}={os.environ[name]}" for name in sorted(set(names)) if os.environ.get(name)]
    if given:
        raise BenchmarkError(
            f"the environment sets {', '.join(given)}, so that all seeds would share it; every "
            "run of a study makes its own: unset it"
        )


def eta(
    finished: Sequence[tuple[Job, float]],
    waiting: Sequence[Job],
    running: Sequence[tuple[Job, float]],
    parallel: int,
) -> float | None:
    """Seconds left, from the longest time of finished jobs of the same config.

    The longest, since one that was continued took less than a whole one.

    Args:
        finished: with the seconds that each took here; 0 for one that was complete before.
        waiting: jobs to come.
        running: with the seconds that each has taken.
        parallel: trainings at a time.

    Returns:
        None while a config that is still to come has no job that was trained here.
    """
    longest: dict[str, float] = {}
    for job, seconds in finished:
        if not seconds:
            continue
        longest[job.name] = max(longest.get(job.name, 0.0), seconds)
    left = 0.0
    for job, spent in [*((job, 0.0) for job in waiting), *running]:
        if job.name not in longest:
            return None
        left += max(0.0, longest[job.name] - spent)
    return left / parallel


def _state(
    total: int,
    finished: Sequence[tuple[Job, float]],
    waiting: Sequence[Job],
    running: Sequence[_Running],
    parallel: int,
    spent: float,
) -> str:
    now = time.monotonic()
    left = eta(finished, waiting, [(one.job, now - one.started) for one in running], parallel)
    parts = [f"{len(finished)} of {total} trainings done", f"{duration(spent)} so far"]
    if left is not None and (waiting or running):
        parts.append(f"about {duration(left)} left")
    width = max((len(one.job.label) for one in running), default=0)
    jobs = [f"  {one.job.label:{width}}  {_last_line(one.job.folder / LOG)}" for one in running]
    return "\n".join(["  ".join(parts), *jobs])


def _tail(file: Path) -> str:
    with file.open("rb") as log:
        log.seek(max(0, file.stat().st_size - TAIL))
        return log.read().decode("utf-8", errors="replace").strip()


def _last_line(file: Path) -> str:
    lines = _tail(file).splitlines() if file.is_file() else []
    return lines[-1] if lines else "starting"
