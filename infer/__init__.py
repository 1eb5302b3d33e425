"""From a video file to a label: read, sample, preprocess, run, rank. Deployable alone.

Installed, this package is called `clipduet`. Its public names are those of `__all__`; they are
loaded when they are first used, and no runtime before a bundle is opened.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import Model, load
    from .pipeline.predictions import Prediction
    from .pipeline.rank import Ranked
    from .system.errors import BackendError, BundleError, ClipDuetError

__version__ = "0.2.0"

__all__ = ["BackendError", "BundleError", "ClipDuetError", "Model", "Prediction", "Ranked", "load"]

_PLACES = {
    "BackendError": "system.errors",
    "BundleError": "system.errors",
    "ClipDuetError": "system.errors",
    "Model": "api",
    "Prediction": "pipeline.predictions",
    "Ranked": "pipeline.rank",
    "load": "api",
}

_COMMANDS = ("clipduet", "infer", "train", "export", "benchmarks")


def _is_command() -> bool:
    """Whether this process was started as `python -m` one of the modules here."""
    given = sys.orig_argv
    if "-m" not in given[:-1]:
        return False
    return given[given.index("-m") + 1].partition(".")[0] in _COMMANDS


def _leave_out_current_folder() -> None:
    """Where `python -m infer.predict` and the like run in another folder than the checkout's.

    Python puts the current folder first on the path: a numpy.py in it would be taken for the
    installed package. A program that imports this one keeps its own path.
    """
    if sys.argv[:1] != ["-m"] or not _is_command():  # argv: while the module is looked for
        return
    here = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if os.path.isdir(sys.path[0]) and os.path.samefile(sys.path[0], ".") and sys.path[0] != here:
        del sys.path[0]


_leave_out_current_folder()


def _is_started_here() -> bool:
    """Whether the program of this process is a command of ours, by `python -m` or by its file.

    No program that imports this package, nor a process that such a command starts.
    """
    given, program = sys.orig_argv, sys.argv[0] if sys.argv else ""
    if program == "-m":  # while the module is looked for, and afterwards its file
        package = sys.modules.get(given[given.index("-m") + 1].partition(".")[0])
        program = getattr(package, "__file__", None) or ""
    elif program not in given and not _is_command():
        return False
    here = os.path.dirname(os.path.abspath(__file__))
    rooms = _COMMANDS[1:] if __name__ == "infer" else (__name__,)
    place = os.path.relpath(os.path.abspath(program), os.path.dirname(here))
    return place.split(os.sep)[0] in rooms


from .libraries.telemetry import turn_off  # noqa: E402
from .system.signals import end_at_once  # noqa: E402
from .system.terminal import open_streams  # noqa: E402

if _is_command():
    open_streams()
if _is_started_here():
    end_at_once()

# Here, because every room imports this package before it imports ONNX Runtime.
turn_off()


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .system.signals import importing

    with importing():
        module = importlib.import_module(f".{_PLACES[name]}", __name__)
    return getattr(module, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
