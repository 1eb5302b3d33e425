"""Keep the chatter of converters off the terminal, and show it when one of them fails.

Paddle, paddle2onnx and ONNX Runtime write to the file descriptors from C++, past `sys.stdout`.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from infer.system.errors import ClipDuetError

TAIL = 30
"""Lines of the chatter that a message repeats."""


class ConversionError(ClipDuetError):
    """A converter failed; the message ends with what it wrote."""

    exit_status = 1


@contextmanager
def captured(step: str) -> Iterator[None]:
    """Catch everything written to stdout and stderr, from Python or below it.

    Args:
        step: what is being done, for the message.

    Raises:
        ConversionError: the body raised; errors for users and interrupts pass unchanged.
    """
    streams = (sys.stdout, sys.stderr)
    for stream in streams:
        stream.flush()
    with tempfile.TemporaryFile() as sink:
        saved = [os.dup(1), os.dup(2)]
        try:
            for descriptor in (1, 2):
                os.dup2(sink.fileno(), descriptor)
            # Where sys.stdout is not descriptor 1, as in a notebook, Python writes elsewhere.
            with (
                open(os.dup(sink.fileno()), "w", encoding="utf-8", buffering=1) as text,
                redirect_stdout(text),
                redirect_stderr(text),
            ):
                yield
        except ClipDuetError:
            raise
        except Exception as error:
            raise ConversionError(_message(step, error, _written(sink.fileno()))) from error
        finally:
            for stream in streams:
                stream.flush()
            for descriptor, copy in zip((1, 2), saved, strict=True):
                os.dup2(copy, descriptor)
                os.close(copy)


def _written(descriptor: int) -> str:
    size = os.lseek(descriptor, 0, os.SEEK_END)
    return os.pread(descriptor, size, 0).decode(errors="replace")


def _message(step: str, error: Exception, chatter: str) -> str:
    reason = str(error).strip() or type(error).__name__
    lines = [f"{step} failed: {type(error).__name__}: {reason}"]
    tail = [line for line in chatter.splitlines() if line.strip()][-TAIL:]
    if tail:
        lines += ["It wrote:", *(f"  {line}" for line in tail)]
    return "\n".join(lines)
