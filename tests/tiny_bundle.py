"""A tiny bundle that needs no training: the brightest of the colours red, green, blue wins."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from infer.bundle.bundle import describe_file, write_bundle_json
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec

CLASSES = ["red", "green", "blue"]
SPEC = ClipSpec(
    SamplingSpec(num_seg=4),
    PreprocessSpec(short_size=32, fixed_ratio=False, crop=32),
)


def colour_graph(spec: ClipSpec, classes: int = 3, out_name: str = "logits") -> onnx.ModelProto:
    """uint8 [batch, T, H, W, 3] -> mean of each channel -> logits."""
    weights = np.eye(3, classes, dtype=np.float32) * 0.05
    nodes = [
        helper.make_node("Cast", ["clip"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Gemm", ["means", "weights"], [out_name]),
    ]
    clip = helper.make_tensor_value_info("clip", TensorProto.UINT8, ["batch", *spec.clip_shape])
    logits = helper.make_tensor_value_info(out_name, TensorProto.FLOAT, ["batch", classes])
    init = [numpy_helper.from_array(weights, "weights")]
    graph = helper.make_graph(nodes, "colours", [clip], [logits], init)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def bundle_dict(folder: Path, spec: ClipSpec = SPEC, *, max_batch: int = 4) -> dict[str, Any]:
    """bundle.json for a folder that holds model.fp32.onnx."""
    file = describe_file(folder, "model.fp32.onnx")
    return {
        "format_version": 1,
        "name": "colours",
        "model": {"class_num": 3, "num_seg": spec.sampling.num_seg, "parameters": 9},
        "classes": CLASSES,
        "spec": spec.to_dict(),
        "input": {"name": "clip", "dtype": "uint8", "shape": ["batch", *spec.clip_shape]},
        "output": {"name": "logits", "dtype": "float32", "shape": ["batch", 3]},
        "max_batch": max_batch,
        "artifacts": {"onnx.fp32": {"format": "onnx", "precision": "fp32", "files": [file]}},
        "origin": {},
    }


def write_bundle(
    folder: Path,
    graph: onnx.ModelProto | None = None,
    spec: ClipSpec = SPEC,
    max_batch: int = 4,
) -> Path:
    """The bundle of a graph in a folder, which may be there."""
    folder.mkdir(exist_ok=True, parents=True)
    onnx.save(graph or colour_graph(spec), str(folder / "model.fp32.onnx"))
    write_bundle_json(folder, bundle_dict(folder, spec, max_batch=max_batch))
    return folder


def colour_frames(colour: str, frames: int = 6, size: int = 32) -> np.ndarray:
    """uint8 [frames, size, size, 3] of one colour."""
    pixels = np.full((frames, size, size, 3), 40, np.uint8)
    pixels[..., CLASSES.index(colour)] = 200
    return pixels
