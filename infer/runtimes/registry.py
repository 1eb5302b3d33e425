"""What is known of the backends without importing one: names, artefacts, how to install them."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from ..bundle.bundle import Artifact, Bundle
from ..system.errors import BackendError

AUTO = "auto"


@dataclass(frozen=True)
class Backend:
    """One way to run a network.

    format    of the artefacts it reads
    gpu       whether it runs on an NVIDIA GPU; else on the CPU
    install   the command that installs what it needs
    """

    format: str
    gpu: bool
    install: str


# onnxruntime and onnxruntime-gpu own the same files, and the one installed last wins. ONNX Runtime
# up to 1.31 is linked to TensorRT 10 (libnvinfer.so.10).
_ORT_GPU = (
    "pip uninstall --yes onnxruntime && "
    "pip install --force-reinstall --no-deps onnxruntime-gpu && "
    "pip install 'onnxruntime-gpu[cuda,cudnn]'"
)

BACKENDS: Mapping[str, Backend] = {
    "onnxruntime": Backend("onnx", False, "pip install -c constraints.txt onnxruntime"),
    "onnxruntime-cuda": Backend("onnx", True, _ORT_GPU),
    "onnxruntime-tensorrt": Backend("onnx", True, f"{_ORT_GPU} 'tensorrt>=10,<11'"),
    "openvino": Backend("onnx", False, "pip install -c constraints.txt '.[openvino]'"),
    "paddle": Backend("paddle", False, "pip install -c constraints.txt '.[paddle]'"),
    "tensorrt": Backend("onnx", True, "pip install '.[gpu]'"),
}

PRECISIONS = ("fp32", "fp16", "bf16", "int8")
X86 = ("x86_64", "amd64", "i386", "i686")


def name_problem(backend: str) -> str | None:
    """What is wrong with a backend's name, with the nearest one and those that are allowed."""
    if backend in BACKENDS:
        return None
    near = get_close_matches(str(backend), [*BACKENDS, AUTO], n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"backend is {backend!r}; {hint}allowed: {', '.join(BACKENDS)}, {AUTO}"


def artifact_keys(backend: str, precision: str) -> tuple[str, ...]:
    """The artefacts that a backend can run in a precision, the best first.

    The int8 variant for x86 has unsigned activations, which its CPUs multiply faster and which
    TensorRT does not take. ONNX Runtime has kernels for that variant on every CPU, and runs most
    of the other in floats. OpenVINO runs the fp32 file in bf16.

    Raises:
        BackendError: unknown backend.
    """
    problem = name_problem(backend)
    if problem:
        raise BackendError(problem)
    known = BACKENDS[backend]
    plain = f"{known.format}.{precision}"
    if backend == "openvino" and precision == "bf16":
        return ("onnx.fp32",)
    if known.format == "onnx" and precision == "int8" and not known.gpu:
        both = (f"{plain}.x86", plain)
        first = backend == "onnxruntime" or platform.machine().lower() in X86
        return both if first else both[::-1]
    return (plain,)


def find_artifact(bundle: Bundle, backend: str, precision: str) -> Artifact:
    """The artefact of a bundle to run; its files are not checked yet.

    Raises:
        BackendError: unknown backend, or a precision that the bundle lacks for it (says what is
            there).
    """
    for key in artifact_keys(backend, precision):
        if key in bundle.artifacts:
            return bundle.artifacts[key]
    there = ", ".join(precisions(bundle, backend))
    has = f"it has: {there}" if there else "it has none for this backend"
    near = get_close_matches(precision, PRECISIONS, n=1) if precision not in PRECISIONS else []
    hint = f" (did you mean {near[0]}?)" if near else ""
    failed = bundle.left_out.keys() & set(artifact_keys(backend, precision))
    why = "; ".join(f"left out at export: {bundle.left_out[key]}" for key in sorted(failed))
    raise BackendError(
        f"{bundle.root} has no {precision} model for {backend}{hint}; {has}"
        + (f"\n{why}" if why else "")
    )


def precisions(bundle: Bundle, backend: str) -> dict[str, str]:
    """The precisions a backend finds in a bundle, each with the key of the artefact it runs."""
    return dict(_precisions(bundle, backend))


def _precisions(bundle: Bundle, backend: str) -> Iterator[tuple[str, str]]:
    named = [a.precision for a in bundle.artifacts.values()]
    for precision in dict.fromkeys([*PRECISIONS, *sorted(named)]):
        for key in artifact_keys(backend, precision):
            if key in bundle.artifacts:
                yield precision, key
                break
