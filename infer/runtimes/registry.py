"""The backends there are, and which artefacts of a bundle they run; none of them is imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib import import_module

from ..bundle.bundle import Artifact, Bundle
from ..system.errors import BackendError
from ..system.strict_json import shown_key
from .backend import Backend

AUTO = "auto"

FOLDERS = (
    "onnxruntime",
    "openvino",
    "paddle",
    "tensorrt",
)
"""A line for each folder here that holds backends, in the order in which people see them."""


def _described() -> Iterator[Backend]:
    for folder in FOLDERS:
        yield from import_module(f".{folder}.backend", __package__).BACKENDS


BACKENDS: Mapping[str, Backend] = {backend.name: backend for backend in _described()}

PRECISIONS = ("fp32", "fp16", "bf16", "int8")


def backend_packages() -> tuple[str, ...]:
    """Names to install of all backends, each once."""
    return tuple(dict.fromkeys(name for one in BACKENDS.values() for name in one.packages))


def oldest_packages() -> dict[str, str]:
    """The oldest versions that were tested, by the name to install."""
    return {one.packages[0]: one.oldest for one in BACKENDS.values() if one.oldest}


def rival_packages() -> tuple[tuple[str, ...], ...]:
    """Packages that own the same files, of which one may be installed."""
    return tuple(dict.fromkeys(one.rivals for one in BACKENDS.values() if one.rivals))


def name_problem(backend: str) -> str | None:
    """What is wrong with a backend's name, with the nearest one and those that are allowed."""
    if backend in BACKENDS:
        return None
    near = get_close_matches(str(backend), [*BACKENDS, AUTO], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"backend is {backend!r}; {hint}allowed: {', '.join(BACKENDS)}, {AUTO}"


def artifact_keys(backend: str, precision: str) -> tuple[str, ...]:
    """The artefacts that a backend can run in a precision, the best first.

    Raises:
        BackendError: unknown backend.
    """
    problem = name_problem(backend)
    if problem:
        raise BackendError(problem)
    return BACKENDS[backend].artifact_keys(precision)


def find_artifact(bundle: Bundle, backend: str, precision: str) -> Artifact:
    """The artefact of a bundle to run; its files are not checked yet.

    Raises:
        BackendError: unknown backend, or a precision that the bundle lacks for it (says what is
            there).
    """
    for key in artifact_keys(backend, precision):
        if key in bundle.artifacts:
            return bundle.artifacts[key]
    raise BackendError(no_model(bundle, precision, backend))


def no_model(bundle: Bundle, precision: str, *backends: str) -> str:
    """That a bundle lacks a precision for some backends, what it has, and why it was left out."""
    there = dict.fromkeys(name for backend in backends for name in precisions(bundle, backend))
    whom = backends[0] if len(backends) == 1 else "any backend"
    none = "it has none for this backend" if len(backends) == 1 else "it has none"
    has = f"it has: {', '.join(there)}" if there else none
    known = precision in PRECISIONS
    near = get_close_matches(str(precision), PRECISIONS, n=1) if not known else []
    hint = f" (did you mean {near[0]}?)" if near else ""
    keys = {key for backend in backends for key in artifact_keys(backend, precision)}
    failed = sorted(bundle.left_out.keys() & keys)
    return "\n".join(
        [
            f"{bundle.root} has no {shown_key(precision)} model for {whom}{hint}; {has}",
            *(f"left out at export: {bundle.left_out[key]}" for key in failed),
        ]
    )


def precisions(bundle: Bundle, backend: str) -> dict[str, str]:
    """The precisions a backend finds in a bundle, each with the key of the artefact it runs."""
    named = [a.precision for a in bundle.artifacts.values()]
    found = {}
    for precision in dict.fromkeys([*PRECISIONS, *sorted(named)]):
        keys = [key for key in artifact_keys(backend, precision) if key in bundle.artifacts]
        if keys:
            found[precision] = keys[0]
    return found
