"""`python -m benchmarks.service`: whether every request gets its one right answer under load.

The command starts `clipduet serve` on the loopback and asks it from many clients at once. Some
requests are broken or hostile, and processes that read videos are killed at random. Right answers
are those of predict, for the same bytes. Exit status 1 where an answer is missing or wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

from benchmarks.common import machine
from benchmarks.common.command import add_out, carry_out_and_judge, measuring, named_videos
from benchmarks.common.processes import first_and_last, is_flat
from benchmarks.common.result_file import header
from benchmarks.service import load
from benchmarks.service.bodies import GOOD, KILLED, hostile_bodies
from benchmarks.service.clients import Outcome, ask_all, counted_answers
from benchmarks.service.process import Watched, service
from benchmarks.service.right_answers import known_bodies
from export.option_limits import THREADS, Allowed
from infer.command.parser import Parser
from infer.command.runner import run_and_exit
from infer.system.log import logger

log = logger("benchmarks.service")

NUMBERS = {**load.NUMBERS, "threads": THREADS, "workers": Allowed(1, 256)}
CLOSED_WITHIN = 30.0
"""Seconds in which a service without requests closes its connections."""
FEW = 2
"""Files more than at its start that are no leak: a worker that is being replaced has some."""
JUDGED = 120
"""Looks at the memory, a minute, from which it is judged: it grows while all begins."""


@measuring
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 all is right, 1 an answer is missing or wrong, 2 wrong use."""
    options = _parser().parse_args(arguments)
    return carry_out_and_judge(run, lines, options, allowed=NUMBERS)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m benchmarks.service",
        description="Ask the service from many clients at once, with broken and hostile requests.",
    )
    load.add_load(parser, requests=10_000, clients=64, kill_every=5.0)
    add = parser.add_argument
    add("--threads", type=int, default=2, help="of the network (default: %(default)s)")
    add("--workers", type=int, default=2, help="that read videos (default: %(default)s)")
    add_out(parser, "reports/service/results.json")
    return parser


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Ask, and count; JSON-ready."""
    paths = named_videos(options)
    log.info(f"predict answers {len(paths)} videos and their broken copies")
    bodies = [*known_bodies(options.bundle, paths), *hostile_bodies()]
    plan = load.planned(options, bodies)
    settings = ["--threads", str(options.threads), "--workers", str(options.workers)]
    settings += ["--max-queue", str(2 * options.clients), "--idle-timeout", "2"]
    settings += ["--queue-timeout", "300"]
    start = time.perf_counter()
    with service(options.bundle, settings, kill_every=options.kill_every, seed=options.seed) as one:
        log.info(f"{options.requests} requests from {options.clients} clients to {one.address}")
        counted_answers(one.address)  # its sockets are open once it answers
        files = one.open_files()
        outcomes = asyncio.run(ask_all(one.address, plan, clients=options.clients))
        seconds = time.perf_counter() - start
        counted = counted_answers(one.address)
        left_open = files_left_open(one, files)
    return {
        **header("clipduet.service", 1),
        "bundle": options.bundle.name,
        "videos": len(paths),
        "clients": options.clients,
        "workers": options.workers,
        "threads": options.threads,
        "seed": options.seed,
        **summary(outcomes, one, seconds, counted=counted, left_open=left_open),
        "machine": machine.machine(),
    }


def files_left_open(one: Watched, first: int) -> int:
    """Files and sockets beyond the `first` ones, once idle connections are closed."""
    until = time.monotonic() + CLOSED_WITHIN
    while (left := one.open_files() - first) > 0 and time.monotonic() < until:
        time.sleep(0.2)
    return max(left, 0)


def summary(
    outcomes: Sequence[Outcome], one: Watched, seconds: float, *, counted: int, left_open: int
) -> dict[str, Any]:
    """What came of the requests, and of the service's memory.

    Args:
        outcomes: of all requests.
        one: the service.
        seconds: from its start to the last answer.
        counted: responses by its own count.
        left_open: files that it has open beyond those of its start.
    """
    verdicts = [outcome.verdict for outcome in outcomes]
    lost = verdicts.count(KILLED)
    found = load.outcome(
        [outcome.body for outcome in outcomes],
        verdicts,
        (one.seconds for one in outcomes if one.body.group == GOOD and one.status == 200),
        seconds=seconds,
    )
    first, last = first_and_last(one.resident)
    flat = is_flat(one.resident) if len(one.resident) >= JUDGED else None
    return {
        **found,
        "answers_by_its_own_count": counted,
        "killed_workers": one.killed,
        "good_files_lost_to_killed_workers": lost,
        "statuses": {str(k): v for k, v in sorted(Counter(o.status for o in outcomes).items())},
        "resident_bytes": {
            "first_fifth": round(first), "last_fifth": round(last),
            "most": max(one.resident, default=0),
            "most_of_workers": max(one.workers_resident, default=0),
        },
        "resident_flat": flat,
        "files_left_open": left_open,
        "met": not found["wrong"] and lost <= one.killed and flat is not False
        and counted == len(outcomes) and left_open <= FEW,
    }  # fmt: skip


def lines(result: dict[str, Any]) -> list[str]:
    """The result for people."""
    memory = {name: f"{value / 2**20:.0f} MiB" for name, value in result["resident_bytes"].items()}
    lost = result["good_files_lost_to_killed_workers"]
    return [
        f"{result['right']} of {result['requests']} answers are right; by its own count the "
        f"service gave {result['answers_by_its_own_count']}",
        f"{result['killed_workers']} workers were killed; {lost} good files were lost to that",
        *load.outcome_lines(result),
        f"memory of the service: {memory['first_fifth']} in the first fifth of the time, "
        f"{memory['last_fifth']} in the last, {memory['most']} at most; "
        f"{result['files_left_open']} files are left open",
    ]


if __name__ == "__main__":
    run_and_exit(main)
