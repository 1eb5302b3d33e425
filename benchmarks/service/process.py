"""The service as a process of its own: started, watched, and its workers killed at random."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.common.errors import BenchmarkError
from benchmarks.common.processes import children, resident_bytes

_SAMPLED = 0.5
"""Seconds between two looks at the memory."""


class Watched:
    """A running service.

    Attributes:
        address: where it answers.
        resident: bytes of the service's own process, over time.
        workers_resident: bytes of its processes that read, together, over time.
        killed: how many of those were killed here.
    """

    def __init__(self, address: str, process: int) -> None:
        self.address = address
        self.resident: list[int] = []
        self.workers_resident: list[int] = []
        self.killed = 0
        self._process = process
        self._over = threading.Event()

    @contextlib.contextmanager
    def watching(self, *, kill_every: float, seed: int) -> Iterator[None]:
        """Look at memory, and kill workers, while the body runs.

        Args:
            kill_every: mean seconds between two killed workers; 0: none is killed.
            seed: of which, and when.
        """
        thread = threading.Thread(target=self._watch, args=(kill_every, seed))
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join()

    def _watch(self, kill_every: float, seed: int) -> None:
        dice = random.Random(seed)
        until_kill = dice.expovariate(1 / kill_every) if kill_every else float("inf")
        while not self._over.wait(_SAMPLED):
            workers = children(self._process)
            self.resident.append(resident_bytes(self._process))
            self.workers_resident.append(sum(map(resident_bytes, workers)))
            until_kill -= _SAMPLED
            if until_kill <= 0 and workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(dice.choice(workers), signal.SIGKILL)
                    self.killed += 1
                until_kill = dice.expovariate(1 / kill_every)

    def open_files(self) -> int:
        """Files and sockets that the service has open now; 0 where it has ended."""
        try:
            return len(os.listdir(f"/proc/{self._process}/fd"))
        except OSError:
            return 0


@contextlib.contextmanager
def service(
    bundle: Path, options: Sequence[str], *, kill_every: float, seed: int
) -> Iterator[Watched]:
    """Start `clipduet serve` on the loopback, and end it by SIGTERM.

    Args:
        bundle: its folder.
        options: further ones of the command.
        kill_every: mean seconds between two killed workers; 0: none is killed.
        seed: of which, and when.

    Raises:
        BenchmarkError: it does not start, or does not end in order.
    """
    command = [sys.executable, "-m", "infer", "serve", "--bundle", str(bundle), "--port", "0"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    said: list[str] = []
    try:
        for line in process.stderr:
            said.append(line)
            if found := re.search(r"answers on (http://\S+)", line):
                break
        else:
            raise BenchmarkError(f"the service does not start: {''.join(said).strip()}")
        watched = Watched(found[1], process.pid)
        # Its messages are read all the time: a full pipe would stop it.
        reading = threading.Thread(target=lambda: said.extend(process.stderr or ()))
        reading.start()
        try:
            with watched.watching(kill_every=kill_every, seed=seed):
                yield watched
        finally:
            process.terminate()
            status = process.wait(120)
            reading.join()
        if status != 143 or any("Traceback" in line for line in said):
            raise BenchmarkError(f"the service ended with {status}: {''.join(said[-20:]).strip()}")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
