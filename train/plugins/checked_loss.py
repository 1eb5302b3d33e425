"""A loss of a plugin as a loss of the run: what it returns is checked, what it raises is named."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infer.system.errors import ClipDuetError
from train.plugins.error import PluginError, place_of


@dataclass(frozen=True)
class CheckedLoss:
    """A registered function, or what a registered function made.

    Attributes:
        name: what configs call the loss.
        where: file and line of the registered function.
        function: returns a scalar.
    """

    name: str
    where: str
    function: Callable[..., Any]

    def __call__(self, /, *arguments: Any, **settings: Any) -> Any:
        """What the function returns, a float tensor [].

        Raises:
            PluginError: it is no scalar, or the function raised an error.
        """
        answer = _called(self.name, self.where, self.function, *arguments, **settings)
        shape = getattr(answer, "shape", None)
        if shape is None or not hasattr(answer, "backward"):
            found = type(answer).__name__
        elif list(shape) in ([], [1]):
            return answer
        else:
            found = str(list(shape))
        raise PluginError(f"the loss {self.name} ({self.where}) must return a scalar, not {found}")


@dataclass(frozen=True)
class CheckedTerm:
    """A registered function that makes a term out of two networks.

    Attributes:
        name: what configs call the loss.
        where: its file and line.
        build: the function.
    """

    name: str
    where: str
    build: Callable[..., Any]

    def __call__(self, sides: Any, /, **settings: Any) -> Any:
        """The term, whose loss is checked in turn; None where a layer is wrong.

        Raises:
            PluginError: it is no term, or the function raised an error.
        """
        term = _called(self.name, self.where, self.build, sides, **settings)
        if term is None:
            return None
        if not (dataclasses.is_dataclass(term) and hasattr(term, "compute")):
            what = f"must return a Term, or None, not {type(term).__name__}"
            raise PluginError(f"the loss {self.name} ({self.where}) {what}")
        compute: Any = CheckedLoss(self.name, self.where, term.compute)
        return dataclasses.replace(term, compute=compute)  # type: ignore[type-var]


def where_of(function: Callable[..., Any]) -> str:
    """File and line of a function, `my_losses.py:4`; its module where it has no code of its own."""
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is None:
        return str(getattr(function, "__module__", function))
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}"


def _called(
    name: str, where: str, function: Callable[..., Any], /, *arguments: Any, **settings: Any
) -> Any:
    try:
        return function(*arguments, **settings)
    except (ClipDuetError, MemoryError):
        raise
    except Exception as error:  # whatever a function of others does
        if _of_a_team(error):
            raise
        # Paddle adds hints for its own developers in further lines.
        said = next((line for line in str(error).splitlines() if line.strip()), "").strip()
        what = f"the loss {name} ({where}) failed: {type(error).__name__}: {said}"
        raise PluginError(f"{what} ({place_of(error, function)})") from error


def _of_a_team(error: Exception) -> bool:
    """Whether a sum over processes failed: who trains tells which of them has ended."""
    trace = error.__traceback__
    while trace is not None:
        if str(trace.tb_frame.f_globals.get("__name__")).startswith("train.distributed"):
            return True
        trace = trace.tb_next
    return False
