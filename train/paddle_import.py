"""Paddle as a command imports it: signals stay the command's, and no warnings of no use."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from infer.system.signals import importing

QUIET = ("No ccache found", "When training, we now always track")
"""Warnings of Paddle's that no user can act on."""


def import_paddle() -> Any:
    """Import Paddle without the signal handlers that it sets, in Python and in C++.

    From then on the process shows no warnings of `QUIET`.
    """
    with importing_paddle():
        return import_module("paddle")


@contextmanager
def importing_paddle() -> Iterator[None]:
    """For imports that may be, or lead to, that of Paddle; as `import_paddle` says."""
    for message in QUIET:
        warnings.filterwarnings("ignore", message=message)
    with importing():
        yield
        if "paddle" in sys.modules:
            sys.modules["paddle"].disable_signal_handler()
