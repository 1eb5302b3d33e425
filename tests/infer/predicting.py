"""Runs of infer/predict.py."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


COMMAND = [sys.executable, str(ROOT / "infer" / "predict.py")]


def start(*args, cwd, **options):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **options}
    return subprocess.Popen([*COMMAND, *map(str, args)], cwd=cwd, **pipes)


def run(*args, cwd):
    process = start(*args, cwd=cwd)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err
