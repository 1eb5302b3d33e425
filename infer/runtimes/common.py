"""What runtimes share: loading a package, checking a graph, putting an error on one line."""

from __future__ import annotations

import errno
import importlib
import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..bundle.bundle import Bundle
from ..system.errors import BackendUnavailable, BundleError
from ..system.signals import importing
from .backend import Backend

# An ONNX file, opset 13: y = x + x, both float32 [1].
DOUBLE = bytes.fromhex(
    "08083a350a0e0a01780a017812017922034164641201675a0f0a0178120a0a08080112040a020801"
    "620f0a0179120a0a08080112040a02080142040a00100d"
)


def check_double(result: Any) -> None:
    """Raises ArithmeticError unless a runtime gave 2 for the 1 that `DOUBLE` was given."""
    if float(np.asarray(result).ravel()[0]) != 2.0:
        raise ArithmeticError(f"1 + 1 gave {result}")


@dataclass(frozen=True)
class End:
    """An input or output of a graph: `dtype` as NumPy calls it; symbolic sizes are not int."""

    name: str
    dtype: str
    shape: Sequence[object]


def check_graph(
    path: object, bundle: Bundle, inputs: Sequence[End], outputs: Sequence[End]
) -> None:
    """The graph must take and give what bundle.json says; symbolic sizes fit anything.

    Raises:
        BundleError: the first thing that does not fit.
    """
    if len(inputs) != 1:
        names = [end.name for end in inputs]
        raise BundleError(f"{path} takes {len(inputs)} inputs {names}, not one")
    clip, classes = [*bundle.spec.clip_shape], [len(bundle.classes)]
    _check("input", path, inputs, End(bundle.input_name, "uint8", clip))
    _check("output", path, outputs, End(bundle.output_name, "float32", classes))


def _check(what: str, path: object, found: Sequence[End], want: End) -> None:
    by_name = {end.name: end for end in found}
    if want.name not in by_name:
        raise BundleError(f"{path} has no {what} {want.name!r}; it has {sorted(by_name)}")
    end, sizes = by_name[want.name], list(want.shape)
    title = f"{path}: {what} {want.name!r}"
    if end.dtype != want.dtype:
        raise BundleError(f"{title} is {end.dtype}, bundle.json says {want.dtype}")
    fits = len(end.shape) == len(sizes) + 1 and all(
        not isinstance(got, int) or got == size
        for got, size in zip(end.shape[1:], sizes, strict=True)
    )
    if not fits:
        raise BundleError(f"{title} is {[*end.shape]}, bundle.json says {['batch', *sizes]}")
    if isinstance(end.shape[0], int):
        raise BundleError(f"{title} has a fixed batch of {end.shape[0]}")


def short(error: BaseException) -> str:
    """An error's message on one line; of a long one its beginning and its end."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 400 else f"{text[:180]} ... {text[-200:]}"


def load_package(backend: Backend, module: str, needs: Sequence[str]) -> Any:
    """Import the package of a backend and see that it has what it is needed for.

    Raises:
        BackendUnavailable: it is not there, or broken in whatever way.
    """
    try:
        with importing(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Paddle's, about compilers that are not needed here
            package = importlib.import_module(module)
        for name in needs:
            getattr(package, name)
    except Exception as error:  # a broken package raises what it likes
        kind = "" if isinstance(error, ImportError) else f"{type(error).__name__}: "
        reason = f"{module} cannot be imported ({kind}{short(error)})"
        # Installing it again gives this process no more memory or files.
        remedy = "" if _exhausted(error) else backend.install
        raise BackendUnavailable(backend.name, reason, remedy) from None
    return package


def package_version(package: Any) -> str | None:
    """What an imported package says of its version, if it does."""
    found = getattr(package, "__version__", None)
    return None if found is None else str(found)


def _exhausted(error: BaseException) -> bool:
    """Whether the process ran out of something; the dynamic loader says so in text only."""
    numbers = (errno.EMFILE, errno.ENFILE, errno.ENOMEM)
    told = any(os.strerror(number) in str(error) for number in numbers)
    return told or isinstance(error, MemoryError)
