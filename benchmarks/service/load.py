"""What the load tests of `clipduet serve` and of a Triton server share: options, outcome."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from benchmarks.common.command import add_bundle, add_videos
from benchmarks.service.bodies import KILLED, RIGHT, Body, drawn
from export.option_limits import SEED, SHARE, Allowed

NUMBERS = {
    "requests": Allowed(1, 10_000_000),
    "clients": Allowed(1, 1000),
    "broken": SHARE,
    "hostile": SHARE,
    "kill_every": Allowed(0, 86_400, "seconds"),
    "seed": SEED,
}
"""What the numbers that `add_load` adds may be."""


def add_load(
    parser: argparse.ArgumentParser, *, requests: int, clients: int, kill_every: float
) -> None:
    """`--bundle`, `--video`, and how many requests of which kind come from how many clients.

    Args:
        parser: of the command.
        requests: the default number.
        clients: the default number.
        kill_every: the default mean time between two killed workers, in seconds.
    """
    add_bundle(parser)
    add_videos(parser)
    add = parser.add_argument
    add("--requests", type=int, default=requests, help="default: %(default)s")
    add("--clients", type=int, default=clients, help="that ask at once (default: %(default)s)")
    add("--broken", type=float, default=0.01, help="share of requests with broken files "
        "(default: %(default)s)")  # fmt: skip
    add("--hostile", type=float, default=0.01, help="share of hostile requests "
        "(default: %(default)s)")  # fmt: skip
    add("--kill-every", type=float, default=kill_every, metavar="SECONDS",
        help="mean time between two killed workers; 0: none (default: %(default)s)")  # fmt: skip
    add("--seed", type=int, default=0, help="of the order of requests, and of what is killed")


def planned(options: argparse.Namespace, bodies: Sequence[Body]) -> list[Body]:
    """The requests that the options ask for, in a random order of them."""
    return drawn(
        bodies,
        options.requests,
        broken=options.broken,
        hostile=options.hostile,
        seed=options.seed,
    )


def outcome(
    bodies: Sequence[Body], verdicts: Sequence[str], times: Iterable[float], *, seconds: float
) -> dict[str, Any]:
    """What came of the requests; JSON-ready.

    Args:
        bodies: what was sent.
        verdicts: of each, RIGHT, KILLED, or what is wrong.
        times: seconds until the answer to each good file that was answered.
        seconds: from the start to the last answer.
    """
    pairs = zip(bodies, verdicts, strict=True)
    wrong = {f"{body.name}: {said}" for body, said in pairs if said not in (RIGHT, KILLED)}
    ordered = sorted(times)
    return {
        "requests": len(bodies),
        "right": verdicts.count(RIGHT),
        "wrong": sorted(wrong),
        "groups": dict(Counter(body.group for body in bodies)),
        "seconds": round(seconds, 1),
        "requests_per_second": round(len(bodies) / seconds, 2),
        "latency_seconds": {
            f"p{share}": round(ordered[min(len(ordered) * share // 100, len(ordered) - 1)], 4)
            for share in (50, 90, 99)
            if ordered
        },
    }


def outcome_lines(result: Mapping[str, Any]) -> list[str]:
    """What is wrong, and how long good files take, for people."""
    latency = ", ".join(
        f"{name} {value:.3f} s" for name, value in result["latency_seconds"].items()
    )
    return [
        *(f"wrong: {one}" for one in result["wrong"][:20]),
        f"good files: {latency}; {result['requests_per_second']} requests a second",
    ]
