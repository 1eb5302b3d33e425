"""Two nodes of Ray on this machine, each on a core of its own, and what kills processes on them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.common.processes import command_line, descendants

CPUS = 2
"""Of each node, for Ray: a decoder and a network share its core."""


@contextlib.contextmanager
def nodes(count: int) -> Iterator[str]:
    """The address of a cluster of Ray. Call it under `with_token`: others reach it too.

    Args:
        count: of nodes; each has the next core of this process, as far as there are.
    """
    from ray.cluster_utils import Cluster

    cores = sorted(os.sched_getaffinity(0))
    cluster: Any = Cluster(shutdown_at_exit=True)
    try:
        for number in range(count):
            with on_cores([cores[number % len(cores)]]):
                cluster.add_node(
                    num_cpus=CPUS,
                    object_store_memory=256 << 20,
                    include_dashboard=False,
                )
        yield str(cluster.address)
    finally:
        cluster.shutdown()


@contextlib.contextmanager
def on_cores(cores: Sequence[int]) -> Iterator[None]:
    """Run the body, and processes that it starts, on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def kill_worker(dice: random.Random) -> str | None:
    """Kill a process that does work for Ray; what it did, or None where there is none now."""
    names = {one: "".join(command_line(one)[:1]) for one in descendants(os.getpid())}
    working = {process: name for process, name in names.items() if _is_ours(name)}
    if not working:
        return None
    process = dice.choice(sorted(working))
    try:
        os.kill(process, signal.SIGKILL)
    except ProcessLookupError:
        return None
    return working[process].removeprefix("ray::")


def _is_ours(name: str) -> bool:
    """Whether a process of Ray has videos or the network, by the name that Ray gives it."""
    return name.startswith("ray::") and ("read_videos" in name or "Network" in name)
