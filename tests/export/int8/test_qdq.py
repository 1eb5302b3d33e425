"""Where 8 bits begin and end: the rules of TensorRT, and the kernels of ONNX Runtime."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.int8.qdq import scale_of
from export.int8.quantize import KEEP_FLOAT, calibrate, kept_in_float, quantize

KINDS = ["single", "attention", "pair", "resnet"]
PAIR = ("QuantizeLinear", "DequantizeLinear")


class Read:
    """A graph and who makes and reads its tensors."""

    def __init__(self, path: Path) -> None:
        self.model = onnx.load(str(path))
        onnx.checker.check_model(self.model, full_check=True)
        self.nodes = list(self.model.graph.node)
        self.tensors = {i.name: numpy_helper.to_array(i) for i in self.model.graph.initializer}
        self.made_by = {name: node for node in self.nodes for name in node.output}

    def readers(self, name: str) -> list[Any]:
        return [node for node in self.nodes if name in node.input]

    def of(self, *kinds: str) -> list[Any]:
        return [node for node in self.nodes if node.op_type in kinds]


def quantised_convolutions(folder: Path) -> set[str]:
    plain = onnx.load(str(folder / "model.fp32.onnx"))
    kept = set(kept_in_float(plain, KEEP_FLOAT))
    return {node.name for node in plain.graph.node if node.op_type == "Conv"} - kept


def optimised(path: Path, target: Path) -> Counter[str]:
    """How many nodes of each kind ONNX Runtime makes of a file."""
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(target)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(path), options)
    return Counter(node.op_type for node in onnx.load(str(target)).graph.node)


@pytest.mark.parametrize("kind", KINDS)
def test_the_file_for_every_engine_keeps_the_rules_of_tensorrt(
    kind: str, exported: Callable[..., Any]
) -> None:
    folder = exported(kind).folder
    graph = Read(folder / "model.int8.onnx")
    assert graph.of(*PAIR)
    for node in graph.of(*PAIR):
        zero = graph.tensors[node.input[2]]
        assert zero.dtype == np.int8, node.name
        assert not zero.any(), node.name
        assert (graph.tensors[node.input[1]] > 0).all()
    for node in graph.of("QuantizeLinear"):
        readers = graph.readers(node.output[0])
        assert [reader.op_type for reader in readers] == ["DequantizeLinear"]
        # Between a convolution and what is fused with it there is nothing.
        assert graph.made_by[node.input[0]].op_type not in ("Conv", *PAIR)
    for node in graph.of("Conv"):
        ends = [graph.made_by.get(name) for name in node.input]
        rounded = [end.op_type if end is not None else None for end in ends]
        if node.name in quantised_convolutions(folder):
            assert rounded[:2] == ["DequantizeLinear"] * 2, node.name
            weights = graph.tensors[ends[1].input[0]]
            assert helper.get_node_attr_value(ends[1], "axis") == 0
            assert graph.tensors[ends[1].input[1]].shape == (len(weights),)
            assert weights.dtype == np.int8
        for bias in node.input[2:]:
            assert graph.tensors[bias].dtype == np.float32
    assert "logits" not in {name for node in graph.of(*PAIR) for name in node.output}
    # The mean over the segments is of floats that were never rounded, for OpenVINO's sake.
    last = graph.of("ReduceMean")[-1]
    source = graph.made_by[last.input[0]]
    while source.op_type in ("Reshape", "Relu", "GlobalAveragePool"):
        source = graph.made_by[source.input[0]]
    assert source.op_type in ("Conv", "LeakyRelu")


@pytest.mark.parametrize("kind", KINDS)
def test_onnxruntime_runs_the_file_for_x86_with_its_8_bit_kernels(
    kind: str, exported: Callable[..., Any], tmp_path: Path
) -> None:
    folder = exported(kind).folder
    found = optimised(folder / "model.int8.x86.onnx", tmp_path / "o.onnx")
    plain = Counter(node.op_type for node in Read(folder / "model.fp32.onnx").nodes)
    convolutions = quantised_convolutions(folder)
    assert found["QLinearConv"] == len(convolutions)
    in_floats = found["Conv"] + found["FusedConv"]
    assert in_floats == plain["Conv"] - len(convolutions), "gates only"
    # All but the pixels' offset and the classifier's bias.
    assert found["Add"] <= 1
    assert found["QLinearMul"] == plain["Mul"]
    assert found["QLinearConcat"] == plain["Concat"]
    # The last one's values are only averaged.
    assert found["QLinearLeakyRelu"] >= plain["LeakyRelu"] - 1
    assert found["QLinearAveragePool"] == plain["AveragePool"]
    # Each stands for a border between bytes and floats: pixels, gates, shifts, the head.
    gates = plain["Sigmoid"] + plain["Pad"]
    assert found["QuantizeLinear"] <= 1 + gates + 1
    assert found["DequantizeLinear"] <= 1 + gates + plain["ReduceMean"]


def test_every_relu_is_at_the_end_of_a_range(exported: Callable[..., Any]) -> None:
    """All 256 steps of an unsigned byte are above zero behind a ReLU."""
    graph = Read(exported("single").folder / "model.int8.x86.onnx")
    found = [n for n in graph.of("QuantizeLinear") if graph.made_by[n.input[0]].op_type == "Relu"]
    assert len(found) > 5
    assert not any(graph.tensors[node.input[2]].any() for node in found)


@pytest.mark.parametrize("activations", ["int8", "uint8"])
def test_what_is_moved_keeps_its_scale(activations: str, exported: Callable[..., Any]) -> None:
    name = "model.int8.onnx" if activations == "int8" else "model.int8.x86.onnx"
    graph = Read(exported("resnet").folder / name)
    moves = ("Reshape", "Pad", "Slice", "Concat", "MaxPool")
    compared = 0
    for node in graph.of("QuantizeLinear"):
        source = graph.made_by[node.input[0]]
        while source.op_type in moves:
            source = graph.made_by[source.input[0]]
        if source.op_type != "DequantizeLinear":
            continue
        assert graph.made_by[node.input[0]].op_type in moves
        for place in (1, 2):
            assert graph.tensors[source.input[place]] == graph.tensors[node.input[place]]
        compared += 1
    assert compared >= 16  # one for each shift


def test_nodes_kept_in_float_read_and_write_floats(
    exported: Callable[..., Any], tmp_path: Path
) -> None:
    source = exported("pair").folder / "model.fp32.onnx"
    clips = np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), dtype=np.uint8)
    calibrated = calibrate(source, clips, threads=1)
    before = calibrated.model.SerializeToString()
    name = "backbone.stages.1.0.dw_conv.conv"
    quantize(calibrated, keep_float=[*KEEP_FLOAT, name], target=tmp_path / "kept.onnx")
    graph = Read(tmp_path / "kept.onnx")
    (conv,) = (node for node in graph.nodes if node.name == name)
    assert f"{name}.weight" in conv.input
    assert graph.made_by[conv.input[0]].op_type == "Relu"
    everything = quantize(calibrated, keep_float=["backbone", "pixels"])
    assert not [n for n in everything.graph.node if n.op_type in PAIR]
    assert calibrated.model.SerializeToString() == before, "it can be used again"
    names = {node.name for node in calibrated.model.graph.node}
    assert "Relu.1" in names and "Relu.10" in names
    assert "Relu.10" not in kept_in_float(calibrated.model, ["Relu.1"])


@pytest.mark.parametrize("bits", [8, 7])
def test_weights_are_rounded_to_the_nearest_of_their_steps(
    bits: int, exported: Callable[..., Any], tmp_path: Path
) -> None:
    source = exported("single").folder / "model.fp32.onnx"
    clips = np.zeros((1, 4, 32, 32, 3), np.uint8)
    calibrated = calibrate(source, clips, threads=1)
    quantize(calibrated, reduce_range=bits == 7, target=tmp_path / "q.onnx")
    graph, plain = Read(tmp_path / "q.onnx"), Read(source)
    name = "backbone.stages.0.0.pw_conv.conv.weight"
    rounded, scale = graph.tensors[f"{name}_quantized"], graph.tensors[f"{name}_scale"]
    step = scale.reshape(-1, 1, 1, 1)
    assert np.abs(rounded * step - plain.tensors[name]).max() <= 0.5001 * scale.max()
    assert (np.abs(rounded).reshape(len(rounded), -1).max(axis=1) == 2 ** (bits - 1) - 1).all()


def test_a_range_holds_zero_and_its_ends() -> None:
    for found in ((-2.0, 6.0), (0.0, 3.0), (1.0, 3.0), (-4.0, -1.0), (0.0, 0.0)):
        for activations, least, most in (("int8", -127, 127), ("uint8", 0, 255)):
            scale, zero = scale_of(found, activations)  # type: ignore[arg-type]
            low, high = (least - zero) * scale, (most - zero) * scale
            assert low - scale <= min(found[0], 0) and max(found[1], 0) <= high + scale
            assert least <= zero <= most
            assert scale > 0
    assert scale_of((0.0, 255.0), "uint8") == (1.0, 0)
    assert scale_of((-12.7, 6.0), "int8") == (np.float32(0.1), 0)
    assert TensorProto.INT8 == helper.np_dtype_to_tensor_dtype(np.dtype("int8"))


def test_a_bias_far_larger_than_its_weights_fits_into_its_integers(
    exported: Callable[..., Any], tmp_path: Path
) -> None:
    folder = exported("single").folder
    model = onnx.load(str(folder / "model.fp32.onnx"))
    rounded_ones = quantised_convolutions(folder)
    conv = next(n for n in model.graph.node if n.name in rounded_ones and len(n.input) == 3)
    name = conv.name
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor).copy()
        if tensor.name == conv.input[1]:
            value[0] *= 1e-9
        elif tensor.name == conv.input[2]:
            value[0] = 3.0
        else:
            continue
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    onnx.save(model, str(tmp_path / "model.onnx"))
    clips = np.random.default_rng(0).integers(0, 256, (2, 4, 32, 32, 3), dtype=np.uint8)
    target = tmp_path / "int8.onnx"
    quantize(calibrate(tmp_path / "model.onnx", clips), activations="uint8", target=target)
    graph = Read(target)
    (rounded,) = (node for node in graph.of("Conv") if node.name == name)
    pair = graph.made_by[rounded.input[2]]
    steps, step = (graph.tensors[tensor] for tensor in pair.input[:2])
    assert steps.dtype == np.int32
    assert steps[0] * float(step[0]) == pytest.approx(3.0, rel=1e-4)
