"""The error of plugins."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable
from typing import Any

from infer.system.errors import ClipDuetError


class PluginError(ClipDuetError):
    """A plugin cannot be loaded, registers something that cannot be used, or fails in a run."""


def place_of(error: BaseException, function: Callable[..., Any] | None = None) -> str:
    """The line that raised an error.

    Args:
        error: what was raised.
        function: whose file is meant, if a line of it was running.
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    lines = traceback.extract_tb(error.__traceback__)
    code = getattr(inspect.unwrap(function), "__code__", None) if function else None
    own = [line for line in lines if code is not None and line.filename == code.co_filename]
    last = (own or lines)[-1]
    return f"{last.filename}:{last.lineno}"
