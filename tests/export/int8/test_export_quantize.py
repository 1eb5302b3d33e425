"""INT8: which tensors are rounded, how, and on which clips the ranges were measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from export.clips import selection
from export.clips.calibration import CalibrationError
from export.int8.quantize import KEEP_FLOAT, calibrate, kept_in_float, quantize
from export.network.captured_output import ConversionError
from infer.clips.preprocess import load_clips
from tests.export.conftest import CROP, SEGMENTS
from train.config.load import load_config

KINDS = ["single", "attention", "pair", "resnet"]


def quantised_weights(model: onnx.ModelProto) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Rounded weights and their scales by node name."""
    tensors = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    found = {}
    for node in model.graph.node:
        if node.op_type == "Conv":
            source = made_by.get(node.input[1])
            if source is not None and source.op_type == "DequantizeLinear":
                found[node.name] = tensors[source.input[0]], tensors[source.input[1]]
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_convolutions_have_one_scale_a_channel(kind: str, exported: Callable[..., Any]) -> None:
    made = exported(kind)
    model = onnx.load(str(made.folder / "model.int8.onnx"))
    onnx.checker.check_model(model, full_check=True)
    kinds = {node.op_type for node in model.graph.node}
    assert {"QuantizeLinear", "DequantizeLinear", "Conv"} <= kinds
    assert not [name for name in kinds if name.startswith("QLinear")], "Q/DQ, no fused operators"
    weights = quantised_weights(model)
    plain = onnx.load(str(made.folder / "model.fp32.onnx"))
    kept = set(kept_in_float(plain, KEEP_FLOAT))
    convs = {node.name for node in plain.graph.node if node.op_type == "Conv"}
    assert set(weights) == convs - kept
    for name, (values, scales) in weights.items():
        assert values.dtype == np.int8, name
        assert scales.shape == (values.shape[0],), name
    assert any(len(np.unique(scales)) > 1 for _, scales in weights.values())


def test_a_graph_of_which_nothing_can_have_8_bits_is_refused(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["clip"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["logits"], axes=[1, 2, 3], keepdims=0),
    ]
    clip = helper.make_tensor_value_info("clip", TensorProto.UINT8, ["batch", 2, 8, 8, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "g", [clip], [logits])
    file = tmp_path / "model.fp32.onnx"
    opset = helper.make_opsetid("", 13)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=8), str(file))
    with pytest.raises(ConversionError, match="--no-int8"):
        calibrate(file, [np.zeros((2, 8, 8, 3), np.uint8)], threads=1)


def test_gates_pixels_and_classifier_stay_in_float(exported: Callable[..., Any]) -> None:
    made = exported("attention")
    model = onnx.load(str(made.folder / "model.int8.onnx"))
    tensors = {i.name: i.data_type for i in model.graph.initializer}
    for name in (
        "pixels.offset",
        "backbone.fc.weight",
        "backbone.global_attention.fc.weight",
        "backbone.stages.2.0.se.conv1.weight",
    ):
        assert tensors[name] == onnx.TensorProto.FLOAT
    kept = kept_in_float(onnx.load(str(made.folder / "model.fp32.onnx")), KEEP_FLOAT)
    assert {"pixels", "backbone.fc"} <= set(kept)
    # Attention's gate goes with it, the shift and the body do not.
    assert "Sigmoid.0" in kept
    assert not {"Concat.0", "backbone.stem.0.conv", "backbone.last_conv"} & set(kept)


@pytest.mark.parametrize("activations", ["uint8", "int8"])
def test_both_kinds_of_activations(
    activations: Any, exported: Callable[..., Any], tmp_path: Path
) -> None:
    made = exported("pair")
    clips = np.random.default_rng(0).integers(0, 256, (4, 4, 32, 32, 3), dtype=np.uint8)
    target = tmp_path / "q.onnx"
    source = made.folder / "model.fp32.onnx"
    model = quantize(calibrate(source, clips), activations=activations, target=target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["q.onnx"]
    tensors = {i.name: numpy_helper.to_array(i) for i in model.graph.initializer}
    points = [
        tensors[node.input[2]] for node in model.graph.node if node.op_type == "QuantizeLinear"
    ]
    assert points
    assert {point.dtype.name for point in points} == {activations}
    if activations == "int8":
        assert not any(point.any() for point in points), "symmetric: zero is zero"
    runs = [onnxruntime.InferenceSession(str(path)) for path in (source, target)]
    for size in (1, 3):
        plain, rounded = (run.run(None, {"clip": clips[:size]})[0] for run in runs)
        assert rounded.shape == plain.shape == (size, 5)
        assert 0 < np.abs(rounded - plain).max() < 0.3 * np.abs(plain).max()


def test_the_clips_are_training_clips_and_recorded(exported: Callable[..., Any]) -> None:
    made = exported("single")
    entry = json.loads((made.folder / "bundle.json").read_text())["artifacts"]["onnx.int8"]
    record = entry["quantization"]["calibration"]
    assert Path(record["list"]).name == "train.list"
    assert record["clips"] == 4
    assert len(record["list_sha256"]) == len(record["clips_sha256"]) == 64
    draws = [selection.calibration(made.experiment.cfg, count=4) for _ in range(2)]
    assert draws[0].to_dict() == draws[1].to_dict() == record
    held_out = (Path(record["list"]).parent / "val.list").read_text().splitlines()
    assert not set(draws[0].chosen) & set(held_out)
    assert draws[0].clips.shape == (4, 4, 32, 32, 3)


def test_ranges_of_three_crops_come_from_all_of_them(
    experiment: Callable[..., Any], tmp_path: Path
) -> None:
    made = experiment("single")
    config = yaml.safe_load(made.config.read_text())
    config["PIPELINE"]["valid"]["transform"][1] = {"GroupFullResSample": {"crop_size": CROP}}
    (tmp_path / "three.yaml").write_text(yaml.safe_dump(config))
    cfg = load_config(tmp_path / "three.yaml")
    assert cfg.specs["valid"].preprocess.crops == 3
    found = selection.calibration(cfg, count=6)
    assert found.clips.shape == (6, SEGMENTS, CROP, CROP, 3)
    for index, line in enumerate(found.chosen):
        crops, _ = load_clips(Path(line.rpartition(" ")[0]), cfg.specs["valid"])
        same = [(crop == found.clips[index]).all() for crop in crops]
        assert same == [part == index % 3 for part in range(3)]


def test_fewer_clips_than_wanted_and_unreadable_ones(
    experiment: Callable[..., Any], clips: Path, tmp_path: Path
) -> None:
    for name in ("train.list", "val.list"):
        lines = (clips / name).read_text().splitlines()
        (tmp_path / name).write_text("".join(f"{clips}/{line}\n" for line in lines))
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    with (tmp_path / "train.list").open("a") as file:
        file.write("broken.mp4 0\n")
    made = experiment("single", root=str(tmp_path))
    found = selection.calibration(made.cfg, count=100)
    assert len(found.clips) == len(found.chosen) == 6
    assert len(found.failed) == 1
    assert "broken.mp4" in found.failed[0]
    (tmp_path / "train.list").write_text("broken.mp4 0\n")
    with pytest.raises(CalibrationError, match=r"train\.list"):
        selection.calibration(made.cfg, count=100)


@pytest.mark.parametrize("split", ["valid", "test"])
def test_lists_that_overlap_are_refused(
    split: str, experiment: Callable[..., Any], clips: Path
) -> None:
    shared_list = clips / f"shared_{split}.list"
    shared_list.write_text("./clip 7.mp4 0\n./clip 2.mp4 0\n")
    changes = {split: {"format": "VideoDataset", "file_path": shared_list.name}}
    made = experiment("single", **changes)
    with pytest.raises(CalibrationError) as caught:
        selection.calibration(made.cfg, count=4)
    assert "1 videos" in str(caught.value)
    assert "clip 2.mp4" in str(caught.value)
    assert "clip 7.mp4" not in str(caught.value)
