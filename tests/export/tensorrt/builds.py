"""A tiny bundle, and builds of its engines on a stand-in."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.tensorrt import __main__ as command
from infer.bundle.bundle import describe_file, write_bundle_json
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from tests import fake_tensorrt

NEWEST = fake_tensorrt.VERSIONS[-1]


SPEC = ClipSpec(SamplingSpec(num_seg=2), PreprocessSpec(short_size=8, fixed_ratio=False, crop=8))


def graph(extra=None):
    """uint8 [batch, T, H, W, 3] -> frames first, cast last, as our exporter does -> logits."""
    weights = np.eye(3, dtype=np.float32) * 0.05
    nodes = [
        helper.make_node("Reshape", ["clip", "frames"], ["flat"], "flatten"),
        helper.make_node("Transpose", ["flat"], ["planes"], "planes", perm=[0, 3, 1, 2]),
        helper.make_node("Cast", ["planes"], ["pixels"], "cast", to=TensorProto.FLOAT),
        *(extra or []),
        helper.make_node("Reshape", ["pixels", "clips"], ["apart"], "apart"),
        helper.make_node("ReduceMean", ["apart"], ["means"], "mean", axes=[1, 3, 4], keepdims=0),
        helper.make_node("Gemm", ["means", "weights"], ["logits"], "fc"),
    ]
    ends = [
        helper.make_tensor_value_info("clip", TensorProto.UINT8, ["batch", *SPEC.clip_shape]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3]),
    ]
    constants = [
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.array([-1, 8, 8, 3]), "frames"),
        numpy_helper.from_array(np.array([-1, 2, 3, 8, 8]), "clips"),
    ]
    made = helper.make_graph(nodes, "means", ends[:1], ends[1:], constants)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def write_bundle(folder, model=None):
    """A bundle whose every precision is the same file."""
    folder.mkdir(exist_ok=True)
    onnx.save(model or graph(), str(folder / "model.onnx"))
    file = describe_file(folder, "model.onnx")
    data = {
        "format_version": 1,
        "name": "means",
        "model": {},
        "classes": ["red", "green", "blue"],
        "spec": SPEC.to_dict(),
        "input": {"name": "clip", "dtype": "uint8", "shape": ["batch", *SPEC.clip_shape]},
        "output": {"name": "logits", "dtype": "float32", "shape": ["batch", 3]},
        "max_batch": 12,
        "artifacts": {
            f"onnx.{precision}": {"format": "onnx", "precision": precision, "files": [file]}
            for precision in ("fp32", "fp16", "int8")
        },
        "origin": {},
    }
    write_bundle_json(folder, data)
    return folder


def build(bundle, *options):
    return command.main(["--bundle", str(bundle), *options])


def engines(bundle):
    """Everything in the folder but the locks: name -> content."""
    return {
        path.name: path.read_bytes()
        for path in sorted((bundle / "engines").iterdir())
        if not path.name.endswith("lock")
    }
