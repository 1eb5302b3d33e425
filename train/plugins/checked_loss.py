"""A loss of a plugin as a loss of the run: what it returns is checked, what it raises is named."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from train.plugins.call import call
from train.plugins.error import PluginError


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
        what = f"the loss {self.name} ({self.where})"
        answer = call(what, self.function, *arguments, **settings)
        shape = getattr(answer, "shape", None)
        if shape is None or not hasattr(answer, "backward"):
            found = type(answer).__name__
        elif list(shape) in ([], [1]):
            return answer
        else:
            found = str(list(shape))
        raise PluginError(f"{what} must return a scalar, not {found}")


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
        what = f"the loss {self.name} ({self.where})"
        term = call(what, self.build, sides, **settings)
        if term is None:
            return None
        if not (dataclasses.is_dataclass(term) and hasattr(term, "compute")):
            raise PluginError(f"{what} must return a Term, or None, not {type(term).__name__}")
        compute: Any = CheckedLoss(self.name, self.where, term.compute)
        return dataclasses.replace(term, compute=compute)  # type: ignore[type-var]
