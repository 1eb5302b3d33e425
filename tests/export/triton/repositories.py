"""Bundles, with engines if wanted, and the repositories that are written of them."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from export.triton import __main__ as triton
from infer.bundle.bundle import Bundle, describe_file, write_bundle_json
from infer.bundle.engines import Machine, Profile, Stamp, engine_path, stamp_path
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec

SPEC = ClipSpec(SamplingSpec(num_seg=2), PreprocessSpec(short_size=32, fixed_ratio=False, crop=32))
CLASSES = ["red", "grün", 'the "blue" one']


def write_bundle(
    folder, classes=tuple(CLASSES), name="my colours", keys=("onnx.fp32", "onnx.fp16")
):
    folder.mkdir(exist_ok=True)
    nodes = [
        helper.make_node("Cast", ["clip"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Gemm", ["means", "weights"], ["logits"]),
    ]
    clip = helper.make_tensor_value_info("clip", TensorProto.UINT8, ["batch", *SPEC.clip_shape])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    weights = numpy_helper.from_array(np.eye(3, dtype=np.float32), "weights")
    graph = helper.make_graph(nodes, "g", [clip], [logits], [weights])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    artifacts = {}
    for key in keys:
        kind = key.removeprefix("onnx.")
        model.producer_name = kind
        onnx.save(model, str(folder / f"model.{kind}.onnx"))
        file = describe_file(folder, f"model.{kind}.onnx")
        artifacts[key] = {"format": "onnx", "precision": kind.split(".")[0], "files": [file]}
    data = {
        "format_version": 1,
        "name": name,
        "model": {},
        "classes": list(classes),
        "spec": SPEC.to_dict(),
        "input": {"name": "clip", "dtype": "uint8", "shape": ["batch", *SPEC.clip_shape]},
        "output": {"name": "logits", "dtype": "float32", "shape": ["batch", 3]},
        "max_batch": 16,
        "artifacts": artifacts,
        "origin": {},
    }
    write_bundle_json(folder, data)
    return folder


def add_engine(folder, gpu="NVIDIA L4", profile=(1, 4, 8), sha=None, precision="fp16"):
    bundle = Bundle.load(folder)
    machine, plan = Machine("11.4.0.106", gpu, "8.9"), b"a plan"
    path = engine_path(bundle, precision, machine, Profile(*profile))
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(plan)
    file = bundle.artifacts[f"onnx.{precision}"].files[0]
    stamp = Stamp(
        *(len(plan), sha256(plan).hexdigest(), file.file, sha or file.sha256, precision),
        *(machine, Profile(*profile), {}, 1.0, {}),
    )
    stamp_path(path).write_text(stamp.to_json())
    return path


def write(bundle, out, *options):
    return triton.main(["--bundle", str(bundle), "--out", str(out), *options])
