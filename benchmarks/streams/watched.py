"""`clipduet stream` as a process of its own: its lines, and its memory at each of them."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.errors import BenchmarkError
from benchmarks.common.processes import is_flat, resident_bytes

_PATIENCE = 300
"""Seconds until a source that was started here must be there."""
TENTHS = 10


@dataclass(frozen=True)
class Answered:
    """What came of a stream.

    Attributes:
        windows: its records, in their order.
        resident: bytes of its process at each of them.
        summary: its last record.
        seconds: from the first window to the summary.
    """

    windows: Sequence[dict[str, Any]]
    resident: Sequence[int]
    summary: dict[str, Any]
    seconds: float

    def memory(self) -> dict[str, Any]:
        """Mean memory over tenths of the windows, and whether it grows."""
        tenths = [float(part.mean()) for part in np.array_split(self.resident, TENTHS) if len(part)]
        return {
            "most": max(self.resident),
            "tenths": [round(value) for value in tenths],
            "flat": is_flat(self.resident),
        }


def answered(source: str, options: Sequence[str]) -> Answered:
    """Run `clipduet stream` to its end.

    Args:
        source: what is classified.
        options: of the command.

    Raises:
        BenchmarkError: it fails, or has no window.
    """
    command = [sys.executable, "-m", "infer", "stream", source, *options]
    windows: list[dict[str, Any]] = []
    resident: list[int] = []
    record: dict[str, Any] = {}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        begin = time.monotonic()
        for line in process.stdout:
            record = json.loads(line)
            if record["type"] == "window":
                if not windows:
                    begin = time.monotonic()
                windows.append(record)
                resident.append(resident_bytes(process.pid))
        seconds = time.monotonic() - begin
    if process.returncode or record.get("type") != "summary":
        raise BenchmarkError(f"the stream of {source} ended with {process.returncode}")
    if not windows:
        raise BenchmarkError(f"the stream of {source} has no window: give a longer one")
    return Answered(windows, resident, record, seconds)


@contextlib.contextmanager
def camera(video: Path) -> Iterator[str]:
    """Send a video as a camera does; yields the address, which takes one client.

    Raises:
        BenchmarkError: it does not start.
    """
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    address = f"tcp://127.0.0.1:{port}"
    command = [sys.executable, "-m", "benchmarks.streams.camera", str(video), address]
    with subprocess.Popen(command) as process:
        try:
            until = time.monotonic() + _PATIENCE
            while not is_open("tcp", port):
                if process.poll() is not None or time.monotonic() > until:
                    raise BenchmarkError(f"no camera began to send at {address}")
                time.sleep(0.05)
            yield address
        finally:
            process.kill()


def is_open(kind: str, port: int) -> bool:
    """Whether a process waits at a port of "tcp" or "udp"; looking takes nothing from it."""
    lines = Path(f"/proc/net/{kind}").read_text(encoding="ascii").splitlines()[1:]
    waiting = {"tcp": "0A", "udp": "07"}[kind]
    found = (line.split() for line in lines)
    return any(one[1].endswith(f":{port:04X}") and one[3] == waiting for one in found)
