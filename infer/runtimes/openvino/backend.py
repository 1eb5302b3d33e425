"""OpenVINO as a backend."""

from __future__ import annotations

import platform

from ...libraries.install import pip_install
from ..backend import Backend, Preference, is_few

X86 = ("x86_64", "amd64", "i386", "i686")


def _keys(precision: str) -> tuple[str, ...]:
    if precision == "bf16":
        return ("onnx.fp32",)  # run in bf16
    if precision == "int8":
        # The variant for x86 has unsigned activations, which its CPUs multiply faster.
        both = ("onnx.int8.x86", "onnx.int8")
        return both if platform.machine().lower() in X86 else both[::-1]
    return (f"onnx.{precision}",)


def _preference(precision: str, clips: int | None) -> Preference:
    """For int8 it is faster than ONNX Runtime; for fp32 neither clearly is, and it loads longer."""
    why = "the fastest for int8 on a CPU" if precision == "int8" else "the first that runs here"
    return Preference(100 if precision == "int8" and not is_few(clips) else 120, why)


BACKENDS = (
    Backend(
        name="openvino",
        title="OpenVINO",
        import_name="openvino",
        packages=("openvino",),
        # 2025 loads graphs whose inputs are not those of bundle.json.
        oldest="2026.1.0",
        install=pip_install(extra="openvino"),
        # It takes the wish for bf16 on every CPU, and runs f32 where that has none.
        cpu_features={"bf16": frozenset({"avx512_bf16", "amx_bf16", "bf16"})},
        format="onnx",
        keys=_keys,
        streams=True,
        preference=_preference,
        runtime=f"{__package__}.runtime",
    ),
)
