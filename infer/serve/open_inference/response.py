"""Responses of the Open Inference Protocol."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ...runtimes.base import Logits
from .request import InferRequest, Output, wrong

VERSION = "1"
"""Of the model: a service has one."""
Tensor = Logits | list[str]
"""float32 of any shape, or a list of texts."""


def infer_response(
    request: InferRequest, model: str, tensors: Mapping[str, Tensor], classes: Sequence[str]
) -> tuple[bytes, dict[str, str]]:
    """The body of a response, and its headers.

    Args:
        request: says which tensors, and in which form.
        model: its name.
        tensors: all that there are.
        classes: names of the classes, for outputs that are asked for as classes.

    Raises:
        Refused: an output that there is not.
    """
    asked = request.outputs
    if asked is None:
        asked = tuple(Output(name, request.binary) for name in tensors)
    outputs, parts = [], []
    for output in asked:
        if output.name not in tensors:
            raise wrong(f"there is no output {output.name!r}; there are: {', '.join(tensors)}")
        tensor = tensors[output.name]
        shape = [len(tensor)] if isinstance(tensor, list) else list(tensor.shape)
        if output.classes:
            tensor, shape = _as_classes(tensor, output, classes)
        kind = "BYTES" if isinstance(tensor, list) else "FP32"
        about: dict[str, Any] = {"name": output.name, "datatype": kind, "shape": shape}
        if output.binary:
            parts.append(_as_bytes(tensor))
            about["parameters"] = {"binary_data_size": len(parts[-1])}
        else:
            about["data"] = tensor if isinstance(tensor, list) else tensor.reshape(-1).tolist()
        outputs.append(about)
    content = {"model_name": model, "model_version": VERSION, "outputs": outputs}
    if request.id:
        content["id"] = request.id
    text = json.dumps(content).encode()
    if not parts:
        return text, {"Content-Type": "application/json"}
    headers = {"Inference-Header-Content-Length": str(len(text))}
    return b"".join([text, *parts]), {**headers, "Content-Type": "application/octet-stream"}


def _as_classes(
    tensor: Tensor, output: Output, classes: Sequence[str]
) -> tuple[list[str], list[int]]:
    """Triton's extension `classification`: value, index and name of the best classes."""
    if isinstance(tensor, list):
        raise wrong(f"classification is not for {output.name}")
    k = min(output.classes, len(classes))
    best = np.argsort(-tensor, axis=1, kind="stable")[:, :k]
    texts = [
        f"{row[i]:f}:{i}:{classes[i]}" for row, ranks in zip(tensor, best, strict=True)
        for i in ranks
    ]  # fmt: skip
    return texts, [len(tensor), k]


def _as_bytes(tensor: Tensor) -> bytes:
    if not isinstance(tensor, list):
        return np.ascontiguousarray(tensor, "<f4").tobytes()
    texts = [text.encode() for text in tensor]
    return b"".join(len(text).to_bytes(4, "little") + text for text in texts)
