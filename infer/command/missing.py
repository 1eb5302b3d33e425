"""Say which package a command misses, or cannot load, instead of a traceback from its import."""

from __future__ import annotations

import importlib.util
import sys
import traceback
from collections.abc import Sequence

from ..libraries.install import in_checkout, pip_install

OWN_NAME = __name__.split(".")[0]
"""Of this package: `infer` in a checkout, else `clipduet`."""
OF_MAKE_SETUP = {"", "paddle", "train", "export", "openvino", "pil", "serve", "report"}
"""Extras that `make setup` brings; "": the base."""
OWN = {"__main__", "clipduet", "infer", "train", "export", "benchmarks"}


def need(packages: Sequence[str], *, extra: str) -> None:
    """In the `__init__` of a package: end a `python -m` of one of its modules with advice.

    Only then: a program that imports the package may well do without some of them.

    Args:
        packages: names to import.
        extra: of this project, which brings them.

    Raises:
        SystemExit: status 2; some cannot be found.
    """
    # While `python -m` looks for its module, that is what stands in place of the name.
    if sys.argv[:1] != ["-m"]:
        return
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        print(f"error: {advice(', '.join(missing), extra=extra)}", file=sys.stderr)
        raise SystemExit(2)


def advice(missing: str, *, extra: str = "") -> str:
    """What to do about packages that are not there; `extra`: of this project, or the base."""
    remedy = pip_install(extra=extra)
    if in_checkout() and set(extra.split(",")) <= OF_MAKE_SETUP:
        remedy += ", or run `make setup` and take .venv/bin/python"
    return f"{sys.executable} does not have {missing}: {remedy}"


def why_not(error: ImportError, *, extra: str = "") -> str:
    """Which package an import failed for, why, and what to do; `extra`: as for `advice`."""
    if isinstance(error, ModuleNotFoundError):
        return advice(str(error.name), extra=extra)
    reason = " ".join(str(error).split())
    shown = reason if len(reason) <= 400 else f"{reason[:180]} ... {reason[-200:]}"
    return (
        f"{sys.executable} has {_package(error)}, but cannot load it: {shown}; `python -m "
        f"{OWN_NAME}.doctor` looks at every package that is needed"
    )


def _package(error: ImportError) -> str:
    """The installed package whose import failed: some raise an error that does not name it."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    modules = [error.name] if error.name else [frame.f_globals.get("__name__") for frame in frames]
    packages = [str(module).split(".")[0] for module in modules]
    found = [name for name in packages if name not in OWN | sys.stdlib_module_names]
    return found[-1] if found else "a package"
