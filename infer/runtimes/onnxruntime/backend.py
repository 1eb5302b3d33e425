"""ONNX Runtime as a backend: on the CPU, on NVIDIA GPUs by CUDA, and on them by TensorRT."""

from __future__ import annotations

from functools import partial

from ...libraries.install import pip_install
from ..backend import Backend, Preference, is_few

# onnxruntime and onnxruntime-gpu own the same files, and the one installed last wins. ONNX Runtime
# up to 1.31 is linked to TensorRT 10 (libnvinfer.so.10).
_ON_GPU = (
    "pip uninstall --yes onnxruntime && "
    "pip install --force-reinstall --no-deps onnxruntime-gpu && "
    "pip install 'onnxruntime-gpu[cuda,cudnn]'"
)
_PACKAGES = ("onnxruntime", "onnxruntime-gpu")


def _keys(precision: str) -> tuple[str, ...]:
    # The int8 variant for x86 has unsigned activations. There are kernels for it on every CPU, and
    # most of the other is run in floats.
    if precision == "int8":
        return ("onnx.int8.x86", "onnx.int8")
    return (f"onnx.{precision}",)


def _on_cpu(precision: str, clips: int | None) -> Preference:
    if precision == "int8" and is_few(clips):
        many = "one clip" if clips == 1 else f"{clips} clips"
        return Preference(110, f"quick to load, for {many}")
    return Preference(110, "quick to load, and fast on a CPU")


def _on_cuda(precision: str, clips: int | None) -> Preference:
    return Preference(20, "the fastest that runs on this GPU")


_backend = partial(
    Backend,
    import_name="onnxruntime",
    packages=_PACKAGES,
    oldest="1.20.0",
    rivals=_PACKAGES,
    format="onnx",
    runtime=f"{__package__}.runtime",
)

BACKENDS = (
    _backend(
        name="onnxruntime",
        title="ONNX Runtime",
        short_title="ORT",
        install=pip_install("onnxruntime"),
        keys=_keys,
        preference=_on_cpu,
    ),
    _backend(
        name="onnxruntime-cuda",
        title="ONNX Runtime CUDA",
        short_title="ORT CUDA",
        gpu=True,
        install=_ON_GPU,
        preference=_on_cuda,
    ),
    # It builds an engine for minutes at every start: only on demand.
    _backend(
        name="onnxruntime-tensorrt",
        title="ONNX Runtime TensorRT",
        short_title="ORT TensorRT",
        gpu=True,
        install=f"{_ON_GPU} 'tensorrt>=10,<11'",
    ),
)
