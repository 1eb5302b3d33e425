"""Importing Paddle for a command: it takes no signals and says nothing of its own."""

from __future__ import annotations

import subprocess
import sys


def test_paddle_takes_no_signals_and_does_not_speak_of_compilers() -> None:
    code = """
import signal, warnings
before = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
from train.paddle_import import import_paddle
assert import_paddle().__name__ == "paddle"
assert [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)] == before
warnings.warn("No ccache found. Please be aware")
warnings.warn("of our own")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ccache" not in done.stderr and "of our own" in done.stderr
