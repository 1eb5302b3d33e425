"""The graph that TensorRT gets."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from export.tensorrt import files as engine_files
from export.tensorrt.graph import for_tensorrt
from infer.bundle.bundle import Bundle
from tests.export.tensorrt.builds import graph


def logits_of(model, clips):
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    return ort.InferenceSession(model, options).run(None, {"clip": clips})[0]


def test_our_graphs_become_ones_that_tensorrt_takes_and_stay_what_they_were(exported):
    bundle = Bundle.load(exported("attention").folder)
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (3, *bundle.spec.clip_shape), dtype=np.uint8)
    files = [a.paths[0] for a in bundle.artifacts.values() if a.format == "onnx"]
    for path in (file for file in files if "x86" not in file.name):
        ready = for_tensorrt(path)
        model = onnx.load_from_string(ready.model)
        onnx.checker.check_model(model, full_check=True)
        kinds = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.value_info
        types = {value.type.tensor_type.elem_type for value in kinds}
        assert not types & {TensorProto.UINT8, TensorProto.INT32}
        assert len(ready.nodes) == len(model.graph.node)
        assert np.array_equal(logits_of(ready.model, clips), logits_of(str(path), clips))


def test_activations_that_are_not_symmetric_int8_are_refused(exported):
    bundle = Bundle.load(exported("attention").folder)
    with pytest.raises(engine_files.EngineError, match="are not int8 with a zero point of 0"):
        for_tensorrt(bundle.root / "model.int8.x86.onnx")


def test_arithmetic_on_uint8_is_refused(tmp_path):
    model = graph()
    model.graph.node[1].op_type = "Relu"
    del model.graph.node[1].attribute[:]
    onnx.save(model, str(tmp_path / "x.onnx"))
    with pytest.raises(engine_files.EngineError, match=r"planes \(Relu\) computes with uint8"):
        for_tensorrt(tmp_path / "x.onnx")
