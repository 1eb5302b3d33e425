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
        what: names it in messages, see `train.plugins.call.called`.
        function: returns a scalar.
    """

    what: str
    function: Callable[..., Any]

    def __call__(self, /, *arguments: Any, **settings: Any) -> Any:
        """What the function returns, a float tensor [].

        Raises:
            PluginError: it is no scalar, or the function raised an error.
        """
        answer = call(self.what, self.function, *arguments, **settings)
        shape = getattr(answer, "shape", None)
        if shape is None or not hasattr(answer, "backward"):
            found = type(answer).__name__
        elif list(shape) in ([], [1]):
            return answer
        else:
            found = str(list(shape))
        raise PluginError(f"{self.what} must return a scalar, not {found}")


@dataclass(frozen=True)
class CheckedTerm:
    """A registered function that makes a term out of two networks.

    Attributes:
        what: as that of `CheckedLoss`.
        build: the function.
    """

    what: str
    build: Callable[..., Any]

    def __call__(self, sides: Any, /, **settings: Any) -> Any:
        """The term, whose loss is checked in turn; None where a layer is wrong.

        Raises:
            PluginError: it is no term, or the function raised an error.
        """
        term = call(self.what, self.build, sides, **settings)
        if term is None:
            return None
        if not (dataclasses.is_dataclass(term) and hasattr(term, "compute")):
            found = type(term).__name__
            raise PluginError(f"{self.what} must return a Term, or None, not {found}")
        compute: Any = CheckedLoss(self.what, term.compute)
        return dataclasses.replace(term, compute=compute)  # type: ignore[type-var]
