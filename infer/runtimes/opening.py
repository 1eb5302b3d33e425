"""Open the runtime of one known backend; heavy imports happen here."""

from __future__ import annotations

import importlib
from typing import Any

from ..bundle.bundle import Bundle
from ..system.errors import BackendUnavailable
from .base import Options, Runtime
from .registry import BACKENDS, find_artifact


def open_known(bundle: Bundle, backend: str, precision: str, options: Options) -> Runtime:
    """The runtime of a backend of `BACKENDS`, opened.

    Raises:
        BackendError, BundleError: as `infer.runtimes.open.open_runtime`.
    """
    artifact = find_artifact(bundle, backend, precision)
    artifact.verify()
    if backend == "tensorrt":
        try:
            trt: Any = importlib.import_module(".tensorrt.runtime", __package__)
        except ImportError as error:
            raise BackendUnavailable(backend, str(error), BACKENDS[backend].install) from None
        runtime: Runtime = trt.TensorRTRuntime(
            bundle, precision=precision, max_batch=options.max_batch, device=options.device
        )
        return runtime
    if backend == "openvino":
        from .openvino.runtime import OpenVinoRuntime

        return OpenVinoRuntime(bundle, artifact, precision=precision, options=options)
    if backend == "paddle":
        from .paddle.runtime import PaddleRuntime

        return PaddleRuntime(bundle, artifact, precision=precision, options=options)
    from .onnxruntime.runtime import OrtRuntime

    return OrtRuntime(bundle, artifact, backend=backend, precision=precision, options=options)
