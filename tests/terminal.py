"""Run a command on a terminal of a given width."""

from __future__ import annotations

import os
import pty
import struct
import subprocess
import sys
import termios
from fcntl import ioctl
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def on_terminal(*arguments: str, columns: int, cwd: Path, kind: str = "xterm") -> tuple[int, str]:
    """Exit status of ``python *arguments``, and what it wrote to standard error, a terminal.

    kind: what TERM says of it.
    """
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=cwd, stdout=subprocess.DEVNULL, stderr=theirs,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TERM": kind},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    while True:
        try:
            read = os.read(ours, 65536)
        except OSError:  # as Linux says that the other end is closed
            break
        if not read:
            break
        said += read
    os.close(ours)
    return process.wait(), said.decode()
