"""What `infer.runtimes` knows of backends, until all of it is there."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from dataclasses import dataclass

from infer.bundle import Artifact, Bundle
from infer.runtimes import BACKENDS


@dataclass(frozen=True)
class Status:
    """Whether a backend can run here, and why not."""

    backend: str
    runs: bool
    reason: str
    version: str | None


def statuses() -> dict[str, Status]:
    """Every backend there is, by name."""
    return {
        name: Status(name, importlib.util.find_spec(name) is not None, "not installed", None)
        for name in BACKENDS
    }


def precisions(bundle: Bundle, backend: str) -> Mapping[str, str]:
    """The precisions a backend finds in a bundle, each with the key of its artefact."""
    return {
        artifact.precision: key
        for key, artifact in bundle.artifacts.items()
        if artifact.format == BACKENDS[backend]
    }


def artifact_of(bundle: Bundle, backend: str, precision: str) -> Artifact:
    """What a backend runs in a precision that the bundle has."""
    return bundle.artifacts[precisions(bundle, backend)[precision]]
