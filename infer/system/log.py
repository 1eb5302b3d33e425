"""Messages of all modules: loggers below one name, and how a command shows them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from .terminal import discard_output, printable

ROOT = "clipduet"
"""The logger above all others."""

Stream = Literal["stdout", "stderr"]


def logger(module: str) -> logging.Logger:
    """The logger of a module.

    Args:
        module: its `__name__`. `infer.runtimes.open` logs to `clipduet.runtimes.open`, as it is
            called once it is installed, and `train.engine.loop` to `clipduet.train.engine.loop`.
    """
    package, _, rest = module.partition(".")
    parts = (ROOT, "" if package in ("infer", ROOT) else package, rest)
    return logging.getLogger(".".join(part for part in parts if part))


@contextmanager
def silenced(module: str) -> Iterator[None]:
    """Drop what a module or package logs while the body runs, for work inside other work."""
    one = logger(module)
    level = one.level
    one.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        one.setLevel(level)


@contextmanager
def messages_shown(information: Stream = "stderr") -> Iterator[Messages]:
    """Show messages to the user of a command while the body runs.

    Args:
        information: where what is no warning or error goes. Those go to stderr.
    """
    root = logging.getLogger(ROOT)
    level, propagate = root.level, root.propagate
    messages = Messages(information)
    root.addHandler(messages)
    root.setLevel(logging.INFO)
    root.propagate = False  # a library may have given the root logger a handler
    try:
        yield messages
    finally:
        root.removeHandler(messages)
        root.setLevel(level)
        root.propagate = propagate


class Messages(logging.Handler):
    """Writes each message as it is, an error with `error: ` before it.

    Attributes:
        lost: whether stderr could not be written.
    """

    def __init__(self, information: Stream) -> None:
        super().__init__()
        self.lost = False
        self._information = information

    def emit(self, record: logging.LogRecord) -> None:
        """Raises OSError where standard output cannot be written: that ends a command."""
        text = printable(record.getMessage(), keep="\n\t")
        if record.levelno < logging.WARNING and self._information == "stdout":
            print(text, flush=True)
            return
        try:
            prefix = "error: " if record.levelno >= logging.ERROR else ""
            print(prefix + text, file=sys.stderr, flush=True)
        except OSError:
            self.lost = True
            discard_output(sys.stderr)
