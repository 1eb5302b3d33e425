"""What a command says to a person: printable, on standard streams that may be closed or full."""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from typing import TextIO

DUMB = ("dumb", "unknown")
"""What the environment's TERM says of terminals that show whole lines only."""


def printable(text: str, keep: str = "") -> str:
    r"""A text from a file or a name, without control characters, terminal codes and bidi overrides.

    They are shown as escapes, such as `\x1b`; those in `keep` stay.
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape", "replace").decode()
        for c in text
    )


def counted(count: int, noun: str) -> str:
    """A number of things, such as "1 frame" and "2 frames"."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


_nowhere_yet: set[int] = set()
"""Standard streams that were closed when the process began."""


def has_stdout() -> bool:
    """Whether there was a standard output when `open_streams` was called first."""
    return 1 not in _nowhere_yet


def open_streams() -> None:
    """Give a command whose standard streams were closed (`>&-`) some that lead nowhere.

    Else the next file that is opened gets the number 1, and what a library prints gets into it.
    """
    for number in (0, 1, 2):
        if _is_closed(number):
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # gets the lowest number
            _nowhere_yet.add(number)
    if sys.stdout is None:
        sys.stdout = _nowhere()
    if sys.stderr is None:  # print(file=None) goes to stdout
        sys.stderr = _nowhere()


def _is_closed(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return True
    return False


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")


def discard_output(stream: TextIO) -> None:
    """Let what is left in a stream go nowhere: Python flushes it once more at the end."""
    with (
        contextlib.suppress(OSError, ValueError, io.UnsupportedOperation),
        open(os.devnull, "wb") as nowhere,
    ):
        os.dup2(nowhere.fileno(), stream.fileno())


class NoReaderError(BrokenPipeError):
    """The reader of the pipe that the results are written to has gone."""


def has_no_reader(stream: TextIO) -> bool:
    """Whether a stream is a pipe or socket whose other end is closed."""
    asked = select.poll()
    try:
        asked.register(stream, 0)  # what is asked for here is told in any case
        return any(found & (select.POLLERR | select.POLLHUP) for _, found in asked.poll(0))
    except (OSError, ValueError, io.UnsupportedOperation):
        return False


def is_unwritable(stream: TextIO) -> bool:
    """Whether what was written to a stream last is still in it, because it cannot be written.

    False is certain of nothing: a stream without a buffer, or a long text, keeps nothing.
    """
    try:
        stream.flush()
    except (OSError, ValueError):
        return True
    return False


def escape_what_is_unencodable() -> None:
    """Let the standard streams show a character that their encoding lacks as an escape."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def can_redraw(stream: TextIO) -> bool:
    """Whether a stream is a terminal that can write over a line: no pipe, file or dumb terminal."""
    return stream.isatty() and os.environ.get("TERM") not in DUMB


class ProgressLine:
    """A line on stderr that shows how far a command is, if a person sees it."""

    def __init__(self) -> None:
        self._drawn = False

    def draw(self, done: int, total: int, note: str = "") -> None:
        """Draw the line, which `clear` removes; `note` stands at its end."""
        if total > 1 and done < total and can_redraw(sys.stderr):
            full = 30 * done // total
            bar = f"[{'#' * full}{'.' * (30 - full)}] {done}/{total}"
            self._write(f"{bar} {note}" if note else bar)
            self._drawn = True

    def clear(self) -> None:
        """Remove the line."""
        if self._drawn:
            self._write("\r\x1b[K")
            self._drawn = False

    def _write(self, text: str) -> None:
        try:
            sys.stderr.write(text)
            sys.stderr.flush()
        except OSError:
            discard_output(sys.stderr)
