"""Runtimes and precisions of the full-size network, and how far their logits may be apart."""

from __future__ import annotations

CELLS = (
    "onnxruntime:fp32",
    "onnxruntime:int8",
    "openvino:fp32",
    "openvino:bf16",
    "openvino:int8",
    "paddle:fp32",
)
# Largest difference of logits, as a share of the largest: float32 sums in another order, bfloat16
# has 8 bits, and so have INT8's activations, layer after layer.
TOLERANCE = {"fp32": 1e-4, "bf16": 0.05, "int8": 0.3}
