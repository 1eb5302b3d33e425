"""Two nodes of Ray on this machine, each on a core of its own, and what kills processes on them."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

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
    working = {process: name for process, name in processes() if _is_ours(name)}
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


def processes() -> Iterator[tuple[int, str]]:
    """Processes below this one, with the first word of their command line."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, ValueError, IndexError):
            status = (folder / "stat").read_text()
            parents[int(folder.name)] = int(status.rpartition(")")[2].split()[1])
            names[int(folder.name)] = (folder / "cmdline").read_bytes().split(b"\0")[0].decode()
    for process, name in names.items():
        above = process
        while above in parents and above != os.getpid():
            above = parents[above]
        if above == os.getpid() and process != above:
            yield process, name
