"""Try a backend: import it, and run the smallest of graphs where that is cheap."""

from __future__ import annotations

import importlib
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from ..system.errors import BackendUnavailable
from .common import DOUBLE, short
from .onnxruntime.runtime import PROVIDERS, check_provider, import_ort, start_session
from .openvino.runtime import import_openvino
from .paddle.runtime import import_paddle
from .registry import BACKENDS
from .status import Status

__all__ = ["Status", "probe", "probe_json"]


def probe(backend: str) -> Status:
    """Try a backend in this process; `statuses` does it in another.

    A package that raises is an answer; one that crashes takes the process with it.
    """
    module = importlib.import_module
    release: str | None = None
    try:
        if backend == "tensorrt":
            release = _version("tensorrt", "tensorrt-cu13", "tensorrt-cu12")
            trt = module(".tensorrt.runtime", __package__)
            problem = trt.problem()
            if problem:
                raise BackendUnavailable(backend, problem, BACKENDS[backend].install)
        elif backend == "paddle":
            inference = import_paddle()
            release = _text(getattr(module("paddle"), "__version__", None))
            inference.Config()
        elif backend == "openvino":
            openvino = import_openvino()
            release = _text(getattr(openvino, "__version__", None))
            core = openvino.Core()
            network = core.compile_model(core.read_model(DOUBLE), "CPU")
            _check(network({"x": np.ones(1, np.float32)})[0])
        else:
            ort = import_ort(backend)
            release = _text(ort.__version__)
            check_provider(ort, backend, device=0)
            providers: list[tuple[str, dict[str, str]]] = [(PROVIDERS[backend][0], {})]
            session = start_session(ort, backend, DOUBLE, ort.SessionOptions(), providers)
            _check(session.run(None, {"x": np.ones(1, np.float32)})[0])
    except BackendUnavailable as error:
        return Status(backend, False, error.reason, release, error.remedy)
    except Exception as error:
        reason = f"{type(error).__name__}: {short(error)}"
        return Status(backend, False, reason, release, BACKENDS[backend].install)
    return Status(backend, True, "", release)


def probe_json(backend: str) -> dict[str, Any]:
    """`probe` for a process that only JSON leaves."""
    return asdict(probe(backend))


def _check(result: Any) -> None:
    if float(np.asarray(result).ravel()[0]) != 2.0:
        raise ArithmeticError(f"1 + 1 gave {result}")


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _version(*packages: str) -> str | None:
    """The version of the first of these that is installed."""
    for package in packages:
        try:
            return version(package)
        except PackageNotFoundError:
            continue
    return None
