"""Try a backend: import it, run the smallest of graphs where that is cheap, and known answers."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ..bundle.bundle import Bundle
from ..system.errors import BackendUnavailable
from .base import RuntimeOptions
from .common import short
from .implementations import implementation
from .known_answers import probe_answers, refusal
from .registry import BACKENDS, find_artifact
from .status import Status

__all__ = ["Status", "answers_json", "probe_backend", "probe_json"]


def probe_backend(backend: str) -> Status:
    """Try a backend in this process; `statuses` does it in another.

    A package that raises is an answer; one that crashes takes the process with it.
    """
    known = BACKENDS[backend]
    release: str | None = None
    try:
        tried = implementation(known)
        release = tried.version(known)
        tried.check(known)
    except BackendUnavailable as error:
        return Status(backend, False, error.reason, release, error.remedy)
    except Exception as error:
        reason = f"{type(error).__name__}: {short(error)}"
        return Status(backend, False, reason, release, known.install)
    return Status(backend, True, "", release)


def probe_json(backend: str) -> dict[str, Any]:
    """`probe_backend` for a process that only JSON leaves."""
    return asdict(probe_backend(backend))


def answers_json(folder: str, backend: str, precision: str) -> dict[str, Any]:
    """Whether a bundle's known answers come out here, for a process that only JSON leaves.

    Args:
        folder: the bundle's; it has known answers of the artifact.
        backend: on the CPU.
        precision: of the artifact.

    Returns:
        What `Probe` has, and `refused`, why it is not run here, or "".
    """
    bundle, known = Bundle.load(folder), BACKENDS[backend]
    artifact, module = find_artifact(bundle, backend, precision), implementation(known)
    options = RuntimeOptions(1, bundle.max_batch, 0, 1, spinning=False)
    artifact.verify()
    with module.open_artifact(
        known, bundle, artifact, precision=precision, options=options
    ) as runtime:
        probe = probe_answers(bundle, artifact, runtime, known, module.version(known))
    assert probe is not None
    problem = refusal(bundle, artifact, known, probe)
    refused = "" if problem is None else f"{problem.reason}. To change that: {problem.remedy}"
    return {**asdict(probe), "refused": refused}
