"""Ask a question in a process of its own: whatever the answer's packages do there, this one lives.

A package can do worse than raise: end the process, crash it, hang, or write over the terminal.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# Standard output is put aside before anything is imported, so that only the answer gets there. The
# current folder, which `-c` puts first on the path, may hold a json.py.
_CHILD = """
import sys
sys.path[:] = [path for path in sys.path if path]
import json, os
answers = os.dup(1)
os.dup2(2, 1)
sys.path[:] = json.loads(sys.argv[1])
import importlib
module, name, arguments = sys.argv[2], sys.argv[3], json.loads(sys.argv[4])
try:
    answer = {"value": getattr(importlib.import_module(module), name)(*arguments)}
except BaseException as error:
    message = " ".join(str(error).split())[:400]
    answer = {"problem": type(error).__name__ + (": " + message if message else "")}
os.write(answers, json.dumps(answer, default=str).encode())
os._exit(0)
"""


@dataclass(frozen=True)
class CallResult:
    """Either `value`, what the function returned, or `problem`, what became of it instead."""

    value: Any = None
    problem: str | None = None


def version_of(module: str) -> str:
    """Import a module and return its version, "" if it does not say."""
    return str(getattr(importlib.import_module(module), "__version__", ""))


def ask(
    module: str, function: str, arguments: Sequence[Any] = (), *, seconds: float = 60
) -> CallResult:
    """Import `module` in a new process and call `function` there.

    Args:
        module: its full name.
        function: its name in the module.
        arguments: JSON-ready, as what it returns must be.
        seconds: it is killed after so long.
    """
    paths = json.dumps(search_path())
    command = [sys.executable, "-c", _CHILD, paths, module, function, json.dumps(list(arguments))]
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        try:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=err)
        except OSError as error:
            return CallResult(problem=f"a process to check it in cannot be started: {error}")
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            return CallResult(problem=f"gave no answer within {seconds:g} seconds")
        finally:
            process.kill()
            process.wait()
        out.seek(0)
        try:
            answer = json.loads(out.read())
            return CallResult(answer.get("value"), answer.get("problem"))
        except (ValueError, AttributeError):
            return CallResult(problem=ending(status, err))


def search_path() -> list[str]:
    """`sys.path` for a new process, with this package in it."""
    return [str(ROOT), *(os.path.abspath(path) if path else os.getcwd() for path in sys.path)]


def ending(status: int, err: Any) -> str:
    """How a process ended.

    Args:
        status: of `subprocess`.
        err: file with what it wrote to stderr.
    """
    err.seek(0)
    lines = [line.strip() for line in err.read().decode(errors="replace").splitlines()]
    said = next((f"; it said: {line[:300]}" for line in reversed(lines) if line), "")
    if status >= 0:
        return f"ended the process with status {status}{said}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"crashed the process ({name}){said}"
