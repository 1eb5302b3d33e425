"""The error of each layer of an 8-bit graph, against the same computed by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from export.int8.layer_errors import layer_errors, sqnr
from export.int8.quantize import calibrate, quantize
from export.network import watched
from infer.system.errors import ClipDuetError

CLIP = (2, 4, 4, 3)
FIRST = np.array([[0.9, -0.4, 0.2], [-0.3, 0.8, 0.1], [0.05, -0.2, 0.7]], np.float32)
SECOND = np.array([[0.02, -0.01], [0.01, 0.03], [-0.02, 0.015]], np.float32)
SCALES = {"colour": 2.0, "hidden": 1.5, "first": 0.01, "second": 0.0004}


def write(file: Path, *, rounds: bool) -> Path:
    """uint8 clip -> mean colour -> linear, ReLU -> linear; with Q/DQ pairs if it rounds."""
    ends = [
        helper.make_tensor_value_info("clip", TensorProto.UINT8, ["batch", *CLIP]),
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2]),
    ]
    constants, nodes = [], []

    def scale(name: str) -> list[str]:
        constants.append(numpy_helper.from_array(np.float32(SCALES[name]), f"{name}_scale"))
        constants.append(numpy_helper.from_array(np.int8(0), f"{name}_zero"))
        return [f"{name}_scale", f"{name}_zero"]

    def reads(name: str, source: str) -> str:
        if not rounds:
            return source
        own = scale(name)
        nodes.append(helper.make_node("QuantizeLinear", [source, *own], [f"{name}_q"]))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", *own], [f"{name}_dq"]))
        return f"{name}_dq"

    def weight(name: str, value: np.ndarray) -> str:
        if not rounds:
            constants.append(numpy_helper.from_array(value, name))
            return name
        constants.append(numpy_helper.from_array(eight_bits(name, value), f"{name}_q"))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", *scale(name)], [name]))
        return name

    nodes += [
        helper.make_node("Cast", ["clip"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[1, 2, 3], keepdims=0),
    ]
    source = reads("colour", "colour")
    matrix = weight("first", FIRST)
    nodes.append(helper.make_node("MatMul", [source, matrix], ["sums"], "one"))
    nodes.append(helper.make_node("Relu", ["sums"], ["hidden"], "its relu"))
    source = reads("hidden", "hidden")
    matrix = weight("second", SECOND)
    nodes.append(helper.make_node("MatMul", [source, matrix], ["logits"], "two"))
    graph = helper.make_graph(nodes, "small", ends[:1], ends[1:], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(file))
    return file


def eight_bits(name: str, value: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(value / np.float32(SCALES[name])), -128, 127).astype(np.int8)


def rounded(name: str, value: np.ndarray) -> np.ndarray:
    return eight_bits(name, value).astype(np.float64) * SCALES[name]


def relative(found: list[np.ndarray], reference: list[np.ndarray]) -> float:
    difference = np.stack(found) - np.stack(reference)
    return float(np.linalg.norm(difference) / np.linalg.norm(reference))


def drawn(count: int) -> list[np.ndarray]:
    """Clips of different brightness: an error is of all values together, no mean of clips."""
    rng = np.random.default_rng(0)
    return [rng.integers(0, 40 + 100 * place, CLIP).astype(np.uint8) for place in range(count)]


def test_errors_are_those_computed_by_hand(tmp_path: Path) -> None:
    clips = drawn(3)
    found = layer_errors(
        write(tmp_path / "a.onnx", rounds=False), write(tmp_path / "b.onnx", rounds=True), clips
    )
    colours = [clip.astype(np.float64).mean((0, 1, 2)) for clip in clips]
    hidden = [np.maximum(colour @ FIRST, 0) for colour in colours]
    logits = [one @ SECOND for one in hidden]
    own = [np.maximum(rounded("colour", c) @ rounded("first", FIRST), 0) for c in colours]
    own_rounded = [rounded("hidden", one) for one in own]
    own_logits = [one @ rounded("second", SECOND) for one in own_rounded]
    expected = {
        "one": (relative(own_rounded, hidden), relative(own_rounded, own)),
        "two": (relative(own_logits, logits), None),
    }
    assert [one.layer for one in found] == sorted(expected, key=lambda n: -expected[n][0])
    for one in found:
        error, rounding = expected[one.layer]
        assert one.kind == "linear"
        assert one.error == pytest.approx(error, rel=1e-4) and one.error > 1e-3
        assert one.rounding == (None if rounding is None else pytest.approx(rounding, rel=1e-4))
    assert abs(expected["one"][0] - expected["one"][1]) > 1e-3


def test_sqnr_is_that_of_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])  # the import adds to it
    debug = pytest.importorskip("onnxruntime.quantization.qdq_loss_debug")
    rng = np.random.default_rng(0)
    reference = rng.normal(size=50)
    found = reference + 0.03 * rng.normal(size=50)
    theirs = debug.compute_signal_to_quantization_noice_ratio([reference], [found])
    assert sqnr(relative([found], [reference])) == pytest.approx(theirs)
    assert sqnr(0.1) == pytest.approx(20) and sqnr(0.0) == np.inf


def test_layers_of_a_network_have_names_and_kinds(
    exported: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = exported("single").folder / "model.fp32.onnx"
    rng = np.random.default_rng(0)
    clips = list(rng.integers(0, 256, (3, 4, 32, 32, 3), dtype=np.uint8))
    calibrated = calibrate(file, clips, threads=1)
    quantize(calibrated, target=tmp_path / "int8.onnx")
    quantize(calibrated, target=tmp_path / "kept.onnx",
             keep_float=["pixels", r"\.se\.", "fc", "backbone.last_conv"])  # fmt: skip
    found = {one.layer: one for one in layer_errors(file, tmp_path / "int8.onnx", clips)}
    kinds = {one.kind for one in found.values()}
    assert {"pointwise convolution", "convolution 3x3", "depthwise convolution 3x3"} <= kinds
    assert found["backbone.last_conv"].kind == "pointwise convolution"
    assert not [name for name in found if "quantize" in name]
    assert all(0 < one.error < 1 for one in found.values())
    errors = [one.error for one in found.values()]
    assert errors == sorted(errors, reverse=True)
    # A layer that stays in float has no row, and what is before it has the same error.
    kept = {one.layer: one for one in layer_errors(file, tmp_path / "kept.onnx", clips)}
    assert "backbone.last_conv" not in kept
    assert kept["backbone.stem.0.conv"] == found["backbone.stem.0.conv"]
    # A network whose tensors do not fit into one run gives the same figures.
    monkeypatch.setattr(watched, "BYTES", 1)
    few = layer_errors(file, tmp_path / "int8.onnx", clips[:1])
    monkeypatch.undo()
    assert few == layer_errors(file, tmp_path / "int8.onnx", clips[:1])


def test_what_is_not_an_8_bit_version_of_the_file_is_refused(tmp_path: Path) -> None:
    plain = write(tmp_path / "a.onnx", rounds=False)
    with pytest.raises(ClipDuetError, match="no layer"):
        layer_errors(plain, plain, drawn(1))
    rounds = onnx.load(str(write(tmp_path / "b.onnx", rounds=True)))
    for node in rounds.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == "hidden":
                    names[place] = "other"
    onnx.save(rounds, str(tmp_path / "c.onnx"))
    with pytest.raises(ClipDuetError, match="'other'"):
        layer_errors(plain, tmp_path / "c.onnx", drawn(1))
