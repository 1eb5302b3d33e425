"""The graph that learns in 8 bits is the one that ships."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import paddle
import pytest

from export.int8.quantize import calibrate, quantize
from export.network.captured_output import ConversionError
from export.qat.graph_net import GraphNet
from export.verify.origin import onnx_tensors
from tests.export.conftest import SATURATES

KINDS = ["attention", "pair", "resnet"]


def answers(model: onnx.ModelProto, clips: np.ndarray, *, exact: bool = False) -> np.ndarray:
    """``exact``: node by node, with floats between the roundings."""
    options = ort.SessionOptions()
    if exact:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    logits: np.ndarray = session.run(None, {"clip": clips})[0]
    return logits


def learned(net: GraphNet, clips: np.ndarray) -> np.ndarray:
    net.eval()
    with paddle.no_grad():
        logits: np.ndarray = net(paddle.to_tensor(clips)).numpy()
    return logits


@pytest.fixture(scope="module")
def batch() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def graphs(exported: Callable[..., Any], batch: np.ndarray) -> Callable[..., Any]:
    """`graphs(kind, activations)`: fp32 tensors and the Q/DQ graph; no activations: fp32."""

    def make(kind: str, activations: Any) -> tuple[dict[str, np.ndarray], onnx.ModelProto]:
        file = exported(kind).folder / "model.fp32.onnx"
        model = onnx.load(str(file))
        if activations:
            calibrated = calibrate(file, batch, threads=1)
            model = quantize(calibrated, activations=activations, reduce_range=SATURATES)
        return onnx_tensors(onnx.load(str(file))), model

    return make


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activations", [None, "int8", "uint8"])
def test_the_graph_computes_in_training_what_a_runtime_computes(
    kind: str, activations: str | None, graphs: Callable[..., Any], batch: np.ndarray
) -> None:
    floats, model = graphs(kind, activations)
    net = GraphNet(model, floats)
    expected, found = answers(model, batch, exact=True), learned(net, batch)
    # A sum in another order ends on the other side of a rounding now and then.
    tolerance = 1e-5 if activations is None else 0.01
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
    if activations is not None:
        plain = answers(graphs(kind, None)[1], batch)
        assert np.abs(found - expected).max() < 0.5 * np.abs(plain - expected).max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activations", ["int8", "uint8"])
def test_an_untrained_graph_is_written_as_it_was(
    kind: str, activations: str, graphs: Callable[..., Any]
) -> None:
    floats, model = graphs(kind, activations)
    before, after = onnx_tensors(model), onnx_tensors(GraphNet(model, floats).to_onnx())
    assert before.keys() == after.keys()
    for name, value in before.items():
        step = 1 if value.dtype.kind in "iu" and value.dtype.itemsize < 8 else 0
        assert value.dtype == after[name].dtype
        np.testing.assert_allclose(after[name], value, rtol=1e-5, atol=step or 1e-12, err_msg=name)


@pytest.mark.parametrize("activations", ["int8", "uint8"])
def test_learning_reaches_weights_biases_and_steps_and_is_written(
    activations: str, graphs: Callable[..., Any], batch: np.ndarray
) -> None:
    floats, model = graphs("pair", activations)
    net = GraphNet(model, floats)
    teacher = paddle.to_tensor(answers(graphs("pair", None)[1], batch) + np.float32(0.5))
    optimizer = paddle.optimizer.AdamW(1e-3, parameters=net.parameters(), weight_decay=0.0)
    losses = []
    for _ in range(25):
        loss = ((net(paddle.to_tensor(batch)) - teacher) ** 2).mean()
        loss.backward()
        assert all(p.grad is not None for p in net.parameters())
        optimizer.step()
        optimizer.clear_grad()
        losses.append(float(loss))
    assert min(losses[-5:]) < 0.5 * losses[0]
    trained = net.to_onnx()
    changed = {
        name
        for name, value in onnx_tensors(trained).items()
        if not np.array_equal(value, onnx_tensors(model)[name])
    }
    assert "backbone.stem.0.conv.weight_quantized" in changed
    assert "backbone.fc.bias" in changed
    assert any(name.endswith("_scale") and "weight" not in name for name in changed)
    assert "pixels.offset" not in changed
    assert [node.op_type for node in trained.graph.node] == [n.op_type for n in model.graph.node]
    expected = answers(trained, batch, exact=True)
    assert np.abs(learned(net, batch) - expected).max() <= 0.05 * np.abs(expected).max()


def test_pairs_around_a_move_keep_one_step(graphs: Callable[..., Any], batch: np.ndarray) -> None:
    floats, model = graphs("pair", "uint8")
    net = GraphNet(model, floats)
    for parameter in net.parameters():
        parameter.set_value(parameter + 0.01)
    tensors = onnx_tensors(net.to_onnx())
    made_by = {name: node for node in model.graph.node for name in node.output}
    moves = [node for node in model.graph.node if node.op_type == "Slice"]
    assert moves
    for node in moves:
        source = made_by[node.input[0]]
        after = next(n for n in model.graph.node if node.output[0] in n.input)
        assert tensors[source.input[1]] == tensors[after.input[1]]


def test_an_unknown_operator_is_named(graphs: Callable[..., Any]) -> None:
    floats, model = graphs("pair", None)
    model.graph.node[-1].op_type = "Celu"
    with pytest.raises(ConversionError, match=r"Celu"):
        GraphNet(model, floats)
