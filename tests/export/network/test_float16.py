"""float16: what has it and what has not, how near it is, and numbers that it cannot hold."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

import export.verify.finite
from export.network import watched
from export.network.captured_output import ConversionError
from export.network.float16 import to_half
from export.verify.finite import check_finite, saturated_clips
from export.verify.parity import VerificationError, gap
from infer.bundle.bundle import Bundle
from infer.runtimes.open import open_runtime

WIDE = {"GlobalAveragePool", "ReduceMean", "ReduceSum", "Softmax"}
"""Sums over more numbers than float16 can count to."""
KINDS = ["single", "attention", "pair", "resnet"]
SHAPE = (4, 32, 32, 3)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, *SHAPE), dtype=np.uint8)


def types_of(model: onnx.ModelProto) -> dict[str, int]:
    inferred = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    found = {value.name: value.type.tensor_type.elem_type for value in values}
    return found | {tensor.name: tensor.data_type for tensor in inferred.initializer}


@pytest.mark.parametrize("kind", KINDS)
def test_convolutions_compute_in_half_and_means_in_single(
    kind: str, exported: Callable[..., Any]
) -> None:
    model = onnx.load(str(exported(kind).folder / "model.fp16.onnx"))
    onnx.checker.check_model(model, full_check=True)
    types = types_of(model)
    assert types["clip"] == TensorProto.UINT8
    assert types["logits"] == TensorProto.FLOAT
    kinds = set()
    for node in model.graph.node:
        floats = {types[n] for n in (*node.input, *node.output)} & {
            TensorProto.FLOAT,
            TensorProto.FLOAT16,
        }
        if node.op_type in WIDE or node.name == "pixels":
            assert floats == {TensorProto.FLOAT}, node.name
        elif node.op_type != "Cast" and node.op_type in ("Conv", "MatMul", "Relu", "Add", "Mul"):
            assert floats == {TensorProto.FLOAT16}, node.name
        kinds.add(node.op_type)
    assert {"Conv", "ReduceMean", "GlobalAveragePool"} <= kinds
    singles = [t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT]
    assert singles == ["pixels.offset"]
    plain = onnx.load(str(exported(kind).folder / "model.fp32.onnx"))
    floats = {t.name for t in plain.graph.initializer if t.data_type == TensorProto.FLOAT}
    halves = {t.name for t in model.graph.initializer if t.data_type == TensorProto.FLOAT16}
    assert halves == floats - {"pixels.offset"}, "weights keep their names"


@pytest.mark.parametrize("kind", ["attention", "resnet"])
@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_half_is_near_and_the_same_in_any_batch(
    kind: str, backend: str, exported: Callable[..., Any]
) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    bundle, clips = Bundle.load(exported(kind).folder), noise(5)
    with open_runtime(bundle, precision="fp32", threads=1) as runtime:
        reference = runtime.run(clips)
    with open_runtime(bundle, backend=backend, precision="fp16", threads=1) as runtime:
        together = runtime.run(clips)
        alone = np.concatenate([runtime.run(clip[None]) for clip in clips])
    assert 1e-6 < gap(reference, together).share < 5e-3
    assert gap(alone, together).share < 5e-3


def scaled(source: Path, target: Path, factors: dict[str, float]) -> Path:
    """A file whose named tensors are multiplied."""
    model = onnx.load(str(source))
    for tensor in model.graph.initializer:
        value = numpy_helper.to_array(tensor)
        if tensor.name in factors:
            changed = value * np.float32(factors[tensor.name])
            tensor.CopyFrom(numpy_helper.from_array(changed, tensor.name))
    onnx.save(model, str(target))
    return target


def test_a_weight_that_does_not_fit_is_named(exported: Callable[..., Any], tmp_path: Path) -> None:
    name = "backbone.last_conv.weight"
    large = scaled(exported("single").folder / "model.fp32.onnx", tmp_path / "x", {name: 1e6})
    with pytest.raises(ConversionError, match=rf"{name} holds .*float16 ends at 65504"):
        to_half(large, tmp_path / "half.onnx")
    assert not (tmp_path / "half.onnx").exists()


def test_a_sum_that_overflows_on_the_worst_clips_only_is_named(
    exported: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, grey = exported("single").folder / "model.fp32.onnx", noise(1) // 4 + 96
    model = onnx.load(str(source))
    (conv,) = (n for n in model.graph.node if n.name == "backbone.stem.0.conv")
    model.graph.output[0].name = conv.output[0]
    model.graph.output[0].ClearField("type")
    values = onnxruntime.InferenceSession(model.SerializeToString()).run(None, {"clip": grey})[0]
    # Grey noise stays within float16, white does not; the next layer takes it all back.
    much = 4e4 / np.abs(values).max()
    stem, after = "backbone.stem.0.conv", "backbone.stem.1.dw_conv.conv"
    factors = {f"{stem}.weight": much, f"{stem}.bias": much, f"{after}.weight": 1 / much}
    to_half(scaled(source, tmp_path / "x.onnx", factors), tmp_path / "half.onnx")
    with pytest.raises(VerificationError) as caught:
        check_finite(tmp_path / "half.onnx", grey, names=["grey.mp4"], threads=1)
    said = str(caught.value)
    assert f"infinity in {stem} (Conv, float16 [4, 8, 16, 16]), first on all" in said
    monkeypatch.setattr(export.verify.finite, "saturated_clips", lambda shape: iter(()))
    check_finite(tmp_path / "half.onnx", grey, names=["grey.mp4"], threads=1)
    factors[f"{stem}.weight"] *= 4
    to_half(scaled(source, tmp_path / "x.onnx", factors), tmp_path / "half.onnx")
    with pytest.raises(VerificationError, match=r"first on grey\.mp4"):
        check_finite(tmp_path / "half.onnx", grey, names=["grey.mp4"], threads=1)


@pytest.mark.parametrize("at_once", [1 << 27, 1 << 16])
def test_every_tensor_of_a_good_network_is_looked_at(
    at_once: int, exported: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watched, "BYTES", at_once)
    path = exported("attention").folder / "model.fp16.onnx"
    model = onnx.load(str(path))
    bytes_only = 2  # pixels that are moved before they are floats
    assert (
        check_finite(path, noise(1), names=["a"], threads=1) == len(model.graph.node) - bytes_only
    )


def test_saturated_clips_are_the_extremes() -> None:
    found = dict(saturated_clips(SHAPE))
    assert {clip.shape for clip in found.values()} == {SHAPE}
    assert {clip.dtype.name for clip in found.values()} == {"uint8"}
    assert all(set(np.unique(clip)) <= {0, 255} for clip in found.values())
    assert found["all 255"].min() == 255
    assert found["all green"].mean(axis=(0, 1, 2)).tolist() == [0, 255, 0]
    board = found["moving checkerboard of 1"].astype(int)
    for axis in (0, 1, 2):
        assert (np.abs(np.diff(board, axis=axis)) == 255).all()
    assert not np.diff(found["still checkerboard of 8"].astype(int), axis=0).any()
