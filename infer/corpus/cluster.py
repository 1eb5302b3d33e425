"""Ray: started on this machine, or a cluster that runs already; and how much works at once."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import secrets
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..system.environment import variable
from ..system.errors import ClipDuetError
from ..system.hardware import cores
from ..system.signals import Stopped, importing

MOST_ACTORS = 8
"""On this machine, if the user does not say: each holds a network."""
_HERE = Path(os.path.abspath(__file__)).parents[2]
"""The folder that this package is in, which workers need."""
_LONGEST_FOLDER = 40
"""Characters of Ray's folder: it has sockets in it, whose paths Linux limits."""


@dataclass(frozen=True)
class Requested:
    """What the user asks for; None: as many as there is room for.

    Attributes:
        address: of a cluster; None: this machine alone.
        decoders: tasks that read videos at once.
        actors: networks.
        threads: of each network.
        gpus: that each network takes.
        batch: videos that go through a network together.
    """

    address: str | None
    decoders: int | None
    actors: int | None
    threads: int
    gpus: float
    batch: int


@dataclass(frozen=True)
class Workers:
    """What works at once, as `Requested`."""

    decoders: int
    actors: int
    threads: int
    gpus: float
    batch: int


@contextlib.contextmanager
def cluster(asked: Requested) -> Iterator[Workers]:
    """Connect to Ray, and end that, or what was started, at the end.

    Raises:
        ClipDuetError: there is no cluster, or it is too small.
    """
    with contextlib.ExitStack() as opened:
        # What goes wrong is told once, in a message of the command.
        opened.enter_context(variable("RAY_BACKEND_LOG_LEVEL", "fatal"))
        if asked.address is None:
            opened.enter_context(with_token())
        # Ray puts the current folder on the path of its workers: a numpy.py there would be run.
        with importing(), _in_folder(_HERE), _quiet():  # Ray sets handlers of signals
            ray = _ray()
            try:
                _connect(ray, asked, opened)
            except SystemExit as end:  # Ray's handler of SIGTERM, while it starts
                raise Stopped(signal.SIGTERM) from end
        yield _workers(ray, asked)


@contextlib.contextmanager
def with_token() -> Iterator[None]:
    """A Ray that is started in the body, before Ray is imported, takes nothing without a token.

    Whoever reaches one that has none could send it any code to run. Processes that are started in
    the body have the token too.
    """
    with variable("RAY_AUTH_MODE", "token"), variable("RAY_AUTH_TOKEN", _token()):
        yield


@functools.cache
def _token() -> str:
    """One for all of this process: Ray reads it once."""
    return secrets.token_hex(32)


def _ray() -> Any:
    import ray
    import ray.data

    context = ray.data.DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return ray


def _connect(ray: Any, asked: Requested, opened: contextlib.ExitStack) -> None:
    quiet = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if asked.address is not None:
        try:
            ray.init(address=asked.address, **quiet)
        except (ConnectionError, RuntimeError, ValueError, OSError) as error:
            text = " ".join(str(error).split())[:300]
            raise ClipDuetError(f"--address {asked.address}: {text}") from None
        opened.callback(ray.shutdown)
        return
    folder = tempfile.mkdtemp(prefix="clipduet-ray-")
    opened.callback(shutil.rmtree, folder, ignore_errors=True)
    opened.callback(ray.shutdown)
    actors = asked.actors or min(cores(), MOST_ACTORS)
    place = {"_temp_dir": folder} if len(folder) <= _LONGEST_FOLDER else {}
    try:
        ray.init(
            address="local",  # not what RAY_ADDRESS says, or another Ray that runs here
            # More than there are: reading and the network share the cores as they need them.
            num_cpus=(asked.decoders or cores()) + actors * asked.threads,
            include_dashboard=False,
            **place,
            **quiet,
        )
    except Exception as error:  # Ray has no type for that
        text = " ".join(str(error).split())[:300]
        raise ClipDuetError(f"Ray does not start on this machine: {text}") from None


def _workers(ray: Any, asked: Requested) -> Workers:
    there = ray.cluster_resources()
    cpus, gpus = int(there.get("CPU", 0)), there.get("GPU", 0.0)
    if asked.actors:
        actors = asked.actors
    elif asked.gpus:
        actors = max(int(gpus / asked.gpus), 1)
    elif asked.address is None:
        actors = min(cores(), MOST_ACTORS)
    else:
        actors = max(cpus // 2 // asked.threads, 1)
    taken = actors * asked.threads
    if taken >= cpus:
        raise ClipDuetError(
            f"{actors} actors of {asked.threads} CPUs each (--actors, --threads) leave none of the "
            f"cluster's {cpus} CPUs to read videos"
        )
    if actors * asked.gpus > gpus:
        raise ClipDuetError(
            f"{actors} actors need {actors * asked.gpus:g} GPUs (--actors, --gpus); there are "
            f"{gpus:g}"
        )
    decoders = asked.decoders or cpus - taken
    return Workers(decoders, actors, asked.threads, asked.gpus, asked.batch)


@contextlib.contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what Ray's C++ code writes to stderr while it starts."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
