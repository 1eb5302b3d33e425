"""Call a function of a plugin: an error that it raises is told with its name and place."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infer.system.errors import ClipDuetError
from train.plugins.error import PluginError, place_of


def call(what: str, function: Callable[..., Any], /, *arguments: Any, **settings: Any) -> Any:
    """What the function returns.

    Args:
        what: names it in messages, see `called`.
        function: of the plugin.
        arguments: of the function.
        settings: of the function, by name.

    Raises:
        PluginError: the function raised an error that is not ours.
    """
    try:
        return function(*arguments, **settings)
    except (ClipDuetError, MemoryError):
        raise
    except Exception as error:  # whatever a function of others does
        if _of_a_team(error):
            raise
        # Paddle adds hints for its own developers in further lines.
        said = next((line for line in str(error).splitlines() if line.strip()), "").strip()
        failed = f"{what} failed: {type(error).__name__}: {said}"
        raise PluginError(f"{failed} ({place_of(error, function)})") from error


def called(kind: str, name: str, function: Callable[..., Any]) -> str:
    """What messages call a registered function: `the loss X (my_losses.py:4)`.

    One that has no code of its own stands there with its module.
    """
    code = getattr(inspect.unwrap(function), "__code__", None)
    where = str(getattr(function, "__module__", function))
    if code is not None:
        where = f"{Path(code.co_filename).name}:{code.co_firstlineno}"
    return f"the {kind} {name} ({where})"


def _of_a_team(error: Exception) -> bool:
    """Whether a sum over processes failed: who trains tells which of them has ended."""
    trace = error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__")).startswith("train.distributed"):
            return True
        trace = trace.tb_next
    return False
