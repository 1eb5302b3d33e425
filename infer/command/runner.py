"""How a command ends: its exit status, whatever the signals and the standard streams."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

from ..system.signals import exit_status, stoppable
from ..system.terminal import Says, open_streams


def run_and_exit(main: Callable[[], int]) -> NoReturn:
    """Run a command and end the process with its status.

    Args:
        main: returns the exit status: 0 done, 1 done in part, else no more is to be waited for.
    """
    open_streams()
    try:
        with stoppable():
            status = main()
    except KeyboardInterrupt as stop:
        status = exit_status(stop)
    except SystemExit as end:  # of --help and wrong options
        status = end.code if isinstance(end.code, int) else 2
    try:
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        if status in (0, 1):
            Says()(f"error: output: {error}")
            status = 2
    if status > 1:
        os._exit(status)  # not waiting for threads, such as those that decode videos
    sys.exit(status)
