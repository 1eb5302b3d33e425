"""Choose a backend: by what the bundle holds, what runs here, and how much there is to run.

The order, best first. On an NVIDIA GPU: a TensorRT engine that was built for it, else ONNX Runtime
on CUDA (its TensorRT provider builds an engine for minutes at every start: only on demand). On a
CPU: ONNX Runtime before OpenVINO for fp32, where neither is clearly the faster and ONNX Runtime
starts sooner; OpenVINO before ONNX Runtime for int8, where it is the faster, unless only a few
clips are expected, which would wait for it to load; OpenVINO alone for bf16; Paddle last.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from ..bundle.bundle import Bundle
from ..bundle.engines import built_engines
from ..system.errors import AlteredError, BackendError, BundleError, listed
from ..system.hardware import gpu_problem
from .opening import open_known
from .registry import BACKENDS, artifact_keys, find_artifact

if TYPE_CHECKING:
    from .base import Options, Runtime

FEW_CLIPS = 16
"""Up to so many clips, what OpenVINO saves in running them is less than it takes to load."""

ON_GPU = ("tensorrt", "onnxruntime-cuda")
PACKAGES = {"tensorrt": "tensorrt", "openvino": "openvino", "paddle": "paddle"}


def order(precision: str, *, expected_clips: int | None = None) -> tuple[str, ...]:
    """The backends to try, best first, as if everything were installed."""
    few = expected_clips is not None and expected_clips <= FEW_CLIPS
    if precision == "int8" and not few:
        on_cpu = ("openvino", "onnxruntime", "paddle")
    else:
        on_cpu = ("onnxruntime", "openvino", "paddle")
    return (*ON_GPU, *on_cpu)


def open_best(
    bundle: Bundle,
    precision: str,
    options: Options,
    expected_clips: int | None,
    say: Callable[[str], None],
) -> Runtime:
    """Open the first backend of `order` that runs here; `say` what it is and why.

    With a `device` other than 0 only GPUs are considered, with `streams` only OpenVINO.

    Raises:
        BackendError: none can run, and why each cannot.
        AlteredError: the artefact that would be run was altered.
    """
    passed: dict[str, str] = {}
    for backend in order(precision, expected_clips=expected_clips):
        problem = _ruled_out(bundle, backend, precision, options)
        if problem is None:
            try:
                runtime = open_known(bundle, backend, precision, options)
            except AlteredError:  # whoever ran it: this is not what was exported
                raise
            except (BackendError, BundleError) as error:
                problem = getattr(error, "reason", str(error))
            else:
                say(_line(bundle, backend, precision, passed, expected_clips))
                return runtime
        passed[backend] = problem
    raise BackendError(
        listed(
            f"no backend can run {bundle.root} in {precision} here",
            [f"{backend}: {reason}" for backend, reason in passed.items()],
        )
    )


def _ruled_out(bundle: Bundle, backend: str, precision: str, options: Options) -> str | None:
    """Why a backend need not be tried; nothing heavy is imported to tell."""
    gpu = BACKENDS[backend].gpu
    if options.device != 0 and not gpu:
        return f"runs on the CPU, and device is {options.device}"
    if options.streams != 1 and backend != "openvino":
        return f"has no streams, and streams is {options.streams}"
    try:
        find_artifact(bundle, backend, precision)
    except BackendError:
        return f"the bundle lacks {' and '.join(artifact_keys(backend, precision))}"
    package = PACKAGES.get(backend, "onnxruntime")
    if not _installed(package):
        return f"{package} is not installed"
    if backend == "tensorrt" and not built_engines(bundle):
        return "the bundle has no engine"
    return gpu_problem(options.device) if gpu else None


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _line(
    bundle: Bundle,
    backend: str,
    precision: str,
    passed: dict[str, str],
    expected_clips: int | None,
) -> str:
    """What was taken, which file it runs, and why, on one line."""
    if BACKENDS[backend].gpu:
        why = "the fastest that runs on this GPU"
    elif backend == "openvino" and precision == "int8":
        why = "the fastest for int8 on a CPU"
    elif backend == "onnxruntime":
        why = "quick to load, and fast on a CPU"
        if precision == "int8" and "openvino" not in passed and expected_clips is not None:
            clips = "one clip" if expected_clips == 1 else f"{expected_clips} clips"
            why = f"quick to load, for {clips}"
    else:
        why = "the first that runs here"
    reasons: dict[str, list[str]] = {}
    for name, reason in passed.items():
        reasons.setdefault(" ".join(reason.split()), []).append(name)
    others = "".join(f"; not {', '.join(names)}: {said}" for said, names in reasons.items())
    file = find_artifact(bundle, backend, precision).files[0].file
    made_of = "built from " if backend == "tensorrt" else ""
    return f"backend: {backend}, {made_of}{file} ({why}{others})"
