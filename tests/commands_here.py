"""`python -m NAME ...` of this checkout, run in this process instead of in one of its own.

A process that loads Paddle takes seconds before it begins. Where a test is of what trainings and
exports give, and not of the processes, `run_here` saves them. What stops, fails in and survives
processes has tests with real ones.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from types import SimpleNamespace
from typing import IO, Any, TextIO
from unittest.mock import patch

import pytest

from benchmarks.study import jobs
from benchmarks.training import runs
from infer.system.log import ROOT


class Process:
    """What `subprocess.Popen` is for a command that needs no process: it runs when it is polled."""

    def __init__(
        self, command: Sequence[str], *, stdout: IO[bytes], env: Mapping[str, str], **_: Any
    ) -> None:
        self._command, self._environment = command, env
        # The caller closes the file once the process has begun.
        self._output = os.fdopen(os.dup(stdout.fileno()), "w", encoding="utf-8")
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """The exit status, after the whole command."""
        if self.returncode is None:
            with self._output:
                self.returncode = _run(self._command, self._environment, self._output, self._output)
        return self.returncode

    def terminate(self) -> None:
        """End it before it has begun."""
        if self.returncode is None:
            self._output.close()
            self.returncode = -15

    def wait(self, timeout: float | None = None) -> int | None:
        """The exit status."""
        return self.returncode


def run(
    command: Sequence[str], *, env: Mapping[str, str] | None = None, **_: Any
) -> subprocess.CompletedProcess[str]:
    """What `subprocess.run` with `capture_output` and `text` does."""
    out, errors = io.StringIO(), io.StringIO()
    status = _run(command, env, out, errors)
    return subprocess.CompletedProcess(list(command), status, out.getvalue(), errors.getvalue())


def run_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the trainings and exports of studies run in this process until the patch is undone."""
    here = SimpleNamespace(Popen=Process, run=run, STDOUT=subprocess.STDOUT)
    monkeypatch.setattr(runs, "subprocess", here)
    monkeypatch.setattr(runs, "POLL", 0.0)
    monkeypatch.setattr(jobs, "subprocess", here)


def _run(
    command: Sequence[str], environment: Mapping[str, str] | None, out: TextIO, errors: TextIO
) -> int:
    _, option, module, *arguments = command
    assert option == "-m", command
    spec = find_spec(module)
    assert spec is not None, command
    name = f"{module}.__main__" if spec.submodule_search_locations else module
    main = importlib.import_module(name).main
    variables = patch.dict(os.environ, environment or {}, clear=environment is not None)
    shown = contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors)
    with variables, _no_messages_of_others(), shown[0], shown[1]:
        try:
            return int(main(arguments))
        except SystemExit as end:
            return int(end.code or 0)


@contextlib.contextmanager
def _no_messages_of_others() -> Iterator[None]:
    """The command that starts this one does not show its messages a second time."""
    messages = logging.getLogger(ROOT)
    others, messages.handlers = messages.handlers, []
    try:
        yield
    finally:
        messages.handlers = others
