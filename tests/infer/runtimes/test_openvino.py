"""OpenVINO: what it is asked to run is what the file says, but for 8 bits that it gets wrong."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from infer.bundle.bundle import Bundle
from infer.runtimes.open import open_runtime

openvino = pytest.importorskip("openvino")


def mean_over_segments(quantised):
    """uint8 clips -> mean of each frame -> 8 bits, where `quantised` -> mean over the segments."""
    rows = [
        helper.make_node("Cast", ["clip"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["frames"], axes=[2, 3], keepdims=0),
        helper.make_node("QuantizeLinear", ["frames", "scale", "zero"], ["eight"]),
        helper.make_node("DequantizeLinear", ["eight", "scale", "zero"], ["back"]),
        helper.make_node("ReduceMean", ["back"], ["means"], axes=[1], keepdims=0),
        helper.make_node("Gemm", ["means", "weights"], ["logits"]),
    ]
    if not quantised:
        del rows[2:4]
        rows[2].input[0] = "frames"
    constants = {
        "weights": np.eye(3, dtype=np.float32) * 0.05,
        "scale": np.array(2.0, np.float32),
        "zero": np.array(0, np.int8),
    }
    graph = helper.make_graph(
        rows,
        "means",
        [helper.make_tensor_value_info("clip", TensorProto.UINT8, ["batch", 4, 32, 32, 3])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 13)
    model = helper.make_model(graph, opset_imports=[opset], ir_version=8)
    onnx.checker.check_model(model)
    return model


@pytest.mark.parametrize("quantised", [False, True])
def test_only_eight_bits_are_shielded(make_bundle, monkeypatch, quantised):
    """A shield is a maximum, which costs a pass over the values of a network that needs none."""
    compiled = []
    honest = openvino.Core.compile_model

    def spy(core, model, *more):
        compiled.append([node.get_type_name() for node in model.get_ops()])
        return honest(core, model, *more)

    monkeypatch.setattr(openvino.Core, "compile_model", spy)
    bundle = Bundle.load(make_bundle(graph=mean_over_segments(quantised)))
    clips = np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), dtype=np.uint8)
    with open_runtime(bundle, backend="openvino", threads=1) as runtime:
        logits = runtime.run(clips)
    assert np.allclose(logits, 0.05 * clips.mean((1, 2, 3)), atol=0.06 if quantised else 1e-3)
    (kinds,) = compiled
    assert kinds.count("Maximum") == quantised, kinds
