"""How every command runs: its messages, its errors, its exit status, what ends it early."""

from __future__ import annotations

import functools
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, ParamSpec

from ..system.abandoned import any_abandoned
from ..system.errors import ClipDuetError, explained, os_reason
from ..system.log import Stream, logger, messages_shown
from ..system.signals import begin, exit_status, stoppable
from ..system.terminal import (
    NoReaderError,
    discard_output,
    escape_what_is_unencodable,
    has_no_reader,
    is_unwritable,
    open_streams,
)

FAILED, WRONG_USE, NO_READER = 1, 2, 141
"""Exit status beside 0: some inputs or the work failed; wrong use; nobody reads the output."""

LEFT = "clipduet_left"
"""Attribute of a KeyboardInterrupt: what a user is told of what it leaves."""

log = logger(__name__)
P = ParamSpec("P")


def command(
    *, stopped: str | None = "", failed: str = "", extra: str = "", information: Stream = "stderr"
) -> Callable[[Callable[P, int]], Callable[P, int]]:
    """Make of a `main` a command: whatever ends it, the user gets a message and it a status.

    The status is what `main` returns; of an error its `exit_status`, 2 where it has none; 141 where
    the reader of a pipe has gone; 130, 143 and 129 after Ctrl-C, SIGTERM and SIGHUP.

    Args:
        stopped: said after a signal: what is left, or how to go on, see also `told_when_stopped`;
            None: nothing is said at all.
        failed: said below an error.
        extra: of this project, which brings the packages that may be missing.
        information: where messages go that are no warnings or errors.
    """

    def decorate(main: Callable[P, int]) -> Callable[P, int]:
        @functools.wraps(main)
        def run(*arguments: P.args, **options: P.kwargs) -> int:
            with messages_shown(information) as messages:
                try:
                    with stoppable():
                        status = main(*arguments, **options)
                except (ClipDuetError, OSError, ImportError) as error:
                    if _nobody_reads(error):
                        discard_output(sys.stdout)
                        return NO_READER
                    log.error("\n".join(filter(None, (_text(error, extra), failed))))
                    status = getattr(error, "exit_status", WRONG_USE)
                except KeyboardInterrupt as stop:
                    if stopped is not None:
                        what = getattr(stop, LEFT, stopped)
                        log.warning("\nstopped" + (f"; {what}" if what else ""))
                    status = exit_status(stop)
            return status or int(messages.lost)

        return run

    return decorate


@contextmanager
def told_when_stopped(what: Callable[[], str]) -> Iterator[None]:
    """Let a command that is stopped in the body say what is left then, not what `stopped` says."""
    try:
        yield
    except KeyboardInterrupt as stop:
        setattr(stop, LEFT, what())
        raise


def _nobody_reads(error: Exception) -> bool:
    """Whether the pipe that broke is one that results or messages go to."""
    if not isinstance(error, BrokenPipeError):
        return False
    gone = has_no_reader(sys.stdout) or has_no_reader(sys.stderr)
    return gone or isinstance(error, NoReaderError)


def _text(error: Exception, extra: str) -> str:
    if isinstance(error, ImportError):
        from .missing import why_not

        return why_not(error, extra=extra)
    if isinstance(error, OSError) and error.filename is None and is_unwritable(sys.stdout):
        return f"output: {os_reason(error)}"
    return explained(error)


def run_and_exit(main: Callable[[], int]) -> NoReturn:
    """Run a command, which `command` has made, and end the process with its status."""
    open_streams()
    escape_what_is_unencodable()
    _silence_opencv()
    try:
        begin()
        status = main()
    except KeyboardInterrupt as stop:  # before the command began, or after its end
        status = exit_status(stop)
    except SystemExit as end:  # of --help and wrong options
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        gone = isinstance(error, BrokenPipeError) and has_no_reader(sys.stdout)
        discard_output(sys.stdout)
        if gone:
            status = status or NO_READER
        elif status in (0, FAILED):
            with messages_shown():
                log.error(f"output: {explained(error)}")
            status = WRONG_USE
    if status > FAILED and any(_is_waited_for(thread) for thread in threading.enumerate()):
        os._exit(status)  # such as those that decode videos
    if any_abandoned():
        sys.stderr.flush()
        os._exit(status)
    sys.exit(status)


def _silence_opencv() -> None:
    """Keep back what it writes to stderr beside our own messages about the same."""
    if "OPENCV_LOG_LEVEL" not in os.environ:
        os.environ["OPENCV_LOG_LEVEL"] = "SILENT"  # read when OpenCV is loaded
        cv2 = sys.modules.get("cv2")
        if cv2 is not None:
            cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def _is_waited_for(thread: threading.Thread) -> bool:
    return not thread.daemon and thread is not threading.main_thread()
