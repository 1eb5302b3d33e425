"""The mistakes and misfortunes a user can meet, each with a message that says what to do."""

from __future__ import annotations

import errno
import resource
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .addresses import shown_path
from .terminal import printable


class ClipDuetError(Exception):
    """A problem the user can act on; command lines print it without a traceback.

    Attributes:
        exit_status: what a command ends with: 2 wrong use, 1 the work itself failed.
    """

    exit_status = 2

    def __str__(self) -> str:
        # It may quote a bundle, a config or a file's name, and ends on a terminal or in a log.
        return printable(self._text(), keep="\n\t")

    def _text(self) -> str:
        return super().__str__()

    def __reduce__(self) -> tuple[Any, ...]:
        """As it is, whatever its `__init__` takes: it may be raised in another process."""
        return _restored, (type(self), self.args, self.__dict__)


def _restored(
    kind: type[ClipDuetError], arguments: tuple[Any, ...], fields: dict[str, Any]
) -> ClipDuetError:
    error = kind.__new__(kind, *arguments)
    error.__dict__.update(fields)
    return error


FAILURES = ("unreadable", "limit", "timeout", "memory", "crash", "stopped")
"""Kinds of failures of a video: it gives no frames, is larger than allowed, takes too long or too
much memory, ended the process that read it, or was not read to its end."""


class VideoError(ClipDuetError):
    """One video cannot be used.

    Attributes:
        path: the video.
        reason: one line without the path.
        kind: one of `FAILURES`.
    """

    def __init__(self, path: str | Path, reason: str, kind: str = "unreadable") -> None:
        super().__init__(path, reason)
        self.path = Path(path)
        self.reason = reason
        self.kind = kind

    def _text(self) -> str:
        return f"{shown_path(self.path)}: {self.reason}"


NO_MEMORY = "not enough memory for its frames"
"""The reason where the system gave none."""


class SpecError(ClipDuetError):
    """A sampling or preprocessing spec that cannot be followed."""


class BundleError(ClipDuetError):
    """A bundle that is missing, incomplete, altered, or does not fit its own description."""


class AlteredError(BundleError):
    """Files of a bundle that are not those that were exported."""


class BackendError(ClipDuetError):
    """A runtime that is not installed, not able to load an artefact, or fails while running."""


class BackendUnavailable(BackendError):
    """A backend that cannot run on this machine as it is.

    Attributes:
        backend: its name.
        reason: what is missing, without the name.
        remedy: the command that would change it, or "".
    """

    def __init__(self, backend: str, reason: str, remedy: str = "") -> None:
        super().__init__(backend, reason, remedy)
        self.backend, self.reason, self.remedy = backend, reason, remedy

    def _text(self) -> str:
        text = f"{self.backend} cannot run here: {self.reason}"
        return f"{text}. To change that: {self.remedy}" if self.remedy else text


def os_reason(error: Exception) -> str:
    """Why the system refused something, without the path, and what to do where that is known.

    Of an error that is not the system's, such as one in a text's encoding, its own words.
    """
    if not isinstance(error, OSError):
        return str(error)
    reason = error.strerror or str(error)
    # `resource` is imported above: where no file can be opened it could not be imported here.
    if error.errno == errno.EMFILE:
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        return f"{reason}: this process may have {most} open; `ulimit -n` sets how many"
    if error.errno == errno.EPIPE:
        return f"{reason}: the process at the other end of a pipe has ended"
    if error.errno == errno.ELOOP:
        return f"{reason}: the links lead in a circle"
    return reason


def explained(error: Exception) -> str:
    """An error in words for a user: of the file system's, the file and the reason."""
    if isinstance(error, OSError) and error.strerror:
        reason = os_reason(error)
        return reason if error.filename is None else f"{error.filename}: {reason}"
    return str(error)


def listed(title: str, problems: Sequence[str], *, most: int | None = None) -> str:
    """One message for all problems: on one line if there is one, else one line each.

    Args:
        title: what they are about.
        problems: at least one.
        most: that are spelled out; of the others only their number is said. None: all.
    """
    if len(problems) == 1:
        return f"{title}: {problems[0]}"
    lines = [f"  - {problem}" for problem in problems[:most]]
    rest = len(problems) - len(lines)
    more = [f"  - ... and {rest} more"] if rest else []
    return "\n".join([f"{title}: {len(problems)} problems", *lines, *more])
