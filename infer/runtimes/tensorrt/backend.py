"""Native TensorRT as a backend."""

from __future__ import annotations

from ...libraries.install import pip_install
from ..backend import Backend, Preference


def _preference(precision: str, clips: int | None) -> Preference:
    return Preference(10, "the fastest that runs on this GPU")


TENSORRT = Backend(
    name="tensorrt",
    title="TensorRT",
    gpu=True,
    import_name="tensorrt",
    packages=("tensorrt", "tensorrt-cu12", "tensorrt-cu13", "pycuda"),
    install=pip_install(extra="gpu", pinned=False),
    format="onnx",
    engines=True,
    preference=_preference,
    runtime=f"{__package__}.runtime",
)

BACKENDS = (TENSORRT,)
