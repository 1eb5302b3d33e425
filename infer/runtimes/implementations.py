"""Open the runtime of one known backend; heavy imports happen here."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ..bundle.bundle import Bundle
from .backend import Backend
from .base import Implementation, Runtime, RuntimeOptions
from .known_answers import probe_answers, refusal
from .registry import BACKENDS, find_artifact


def implementation(backend: Backend) -> Implementation:
    """What opens and tries a backend."""
    module: Any = import_module(backend.runtime)
    found: Implementation = module
    return found


def open_known(bundle: Bundle, backend: str, precision: str, options: RuntimeOptions) -> Runtime:
    """The runtime of a backend of `BACKENDS`, opened.

    Raises:
        BackendError, BundleError: as `infer.runtimes.open.open_runtime`.
    """
    artifact = find_artifact(bundle, backend, precision)
    artifact.verify()
    known = BACKENDS[backend]
    module = implementation(known)
    runtime = module.open_artifact(known, bundle, artifact, precision=precision, options=options)
    try:
        if bundle.known_answers is not None and not known.gpu:
            probe = probe_answers(bundle, artifact, runtime, known, module.version(known))
            problem = None if probe is None else refusal(bundle, artifact, known, probe)
            if problem is not None:
                raise problem
    except BaseException:
        runtime.close()
        raise
    return runtime
