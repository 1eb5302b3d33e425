"""8-bit files in engines that know nothing of this project: right in a batch of any size."""

from __future__ import annotations

import functools
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from export.int8.means import widen_means
from export.int8.pads import pad_bytes
from export.int8.quantize import calibrate, quantize
from infer.bundle.bundle import Bundle
from infer.bundle.known_answers import KNOWN_CLIPS
from tests.export.conftest import SATURATES
from tests.export.int8.small_networks import CHANNELS, NETWORKS, SEGMENTS, network, some_clips

ENGINES = ["onnxruntime", "openvino", "cv2"]
BATCHES = (1, 2, 3, 20)


def plain(engine: str, file: Path) -> Callable[[np.ndarray], np.ndarray]:
    """A file opened as the engine's own documentation does it."""
    if find_spec(engine) is None:
        pytest.skip(f"{engine} is not installed")
    if engine == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
        return lambda clips: np.asarray(session.run(None, {"clip": clips})[0])
    if engine == "openvino":
        import openvino

        core = openvino.Core()
        # Without the hint a CPU that has bf16 computes in it what is not of 8 bits.
        hint = {"INFERENCE_PRECISION_HINT": "f32"}
        network = core.compile_model(core.read_model(str(file)), "CPU", hint)
        return lambda clips: np.array(network(clips)[0])
    import cv2

    net: Any = cv2.dnn.readNetFromONNX(str(file))

    def run(clips: np.ndarray) -> np.ndarray:
        net.setInput(clips)
        return np.array(net.forward())

    return run


Files = Callable[[str], dict[str, Path]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    """`files(network)`: its fp32 file and both 8-bit files, by what they hold."""
    folder = tmp_path_factory.mktemp("files")
    return functools.cache(lambda kind: write_files(folder / kind, NETWORKS[kind]()))


def write_files(folder: Path, model: onnx.ModelProto) -> dict[str, Path]:
    """Weights have 7 bits, so that nothing saturates."""
    folder.mkdir()
    found = {name: folder / f"{name}.onnx" for name in ("fp32", "int8", "uint8")}
    onnx.save(model, str(found["fp32"]))
    calibrated = calibrate(found["fp32"], some_clips(), calibrator="minmax", threads=1)
    for kind in ("int8", "uint8"):
        quantize(calibrated, activations=kind, reduce_range=True, target=found[kind])
    return found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", ["fp32", "int8", "uint8"])
@pytest.mark.parametrize("kind", NETWORKS)
def test_a_file_is_right_in_every_batch(files: Files, kind: str, name: str, engine: str) -> None:
    clips, file = some_clips(), files(kind)[name]
    reference = plain("onnxruntime", file)
    expected = np.concatenate([reference(clip[None]) for clip in clips])
    run = plain(engine, file)
    allowed = (1e-4 if name == "fp32" else 0.02) * np.abs(expected).max()
    for batch in BATCHES:
        parts = [clips[start : start + batch] for start in range(0, len(clips), batch)]
        found = np.concatenate([run(np.ascontiguousarray(part)) for part in parts])
        assert np.abs(found - expected).max() < allowed, batch


def test_only_the_mean_of_fewer_than_four_axes_changes() -> None:
    model = network()
    before = model.SerializeToString()
    assert widen_means(model) == 1
    onnx.checker.check_model(model, full_check=True)
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    attention, mean = (node for node in model.graph.node if node.op_type == "ReduceMean")
    assert helper.get_node_attr_value(attention, "axes") == [1, 2, 3]
    (reshape,) = (node for node in model.graph.node if mean.input[0] in node.output)
    assert tensors[reshape.input[1]].tolist() == [-1, SEGMENTS, CHANNELS, 1]
    assert helper.get_node_attr_value(mean, "axes") == [1, 3]
    assert model.SerializeToString() != before and widen_means(model) == 0


def optimised(file: Path) -> list[str]:
    """The operators that ONNX Runtime makes of a file."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(file.with_suffix(".optimised"))
    onnxruntime.InferenceSession(str(file), options)
    return [node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node]


@pytest.mark.parametrize("kind", ["leaky", "swish"])
def test_onnxruntime_averages_bytes_in_front_of_a_gate(files: Files, kind: str) -> None:
    """And makes floats of nothing that is larger than the averages."""
    kinds = optimised(files(kind)["uint8"])
    assert kinds.count("QLinearGlobalAveragePool") >= 1 and kinds.count("QLinearMul") == 1
    model = onnx.load(str(files(kind)["uint8"]))
    made_by = {name: node for node in model.graph.node for name in node.output}
    (gate,) = (node for node in model.graph.node if node.name == "block.se.conv")
    assert made_by[gate.input[0]].op_type == "DequantizeLinear"
    assert gate.input[1] in {tensor.name for tensor in model.graph.initializer}, "of floats"


def test_weights_of_frames_are_rounded_before_they_get_more_axes(files: Files) -> None:
    """OpenCV 5.0 makes zeros of a pair on `[N, 1, 1, 1]`; ONNX Runtime still has its kernel."""
    file = files("attention")["uint8"]
    graph = onnx.load(str(file)).graph
    made_by = {name: node for node in graph.node for name in node.output}
    (product,) = (node for node in graph.node if node.op_type == "Mul")
    reshape = made_by[product.input[1]]
    assert reshape.op_type == "Reshape"
    assert made_by[reshape.input[0]].op_type == "DequantizeLinear"
    kinds = optimised(file)
    assert kinds.count("QLinearMul") == 1 and "Mul" not in kinds


@pytest.mark.parametrize("kind", ["leaky", "swish"])
def test_bytes_are_padded_with_their_zero_point(files: Files, kind: str) -> None:
    """The pairs around a pad say the same; a float pad is what OpenVINO computes wrong."""
    model = onnx.load(str(files(kind)["uint8"]))
    tensors = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    made_by = {name: node for node in model.graph.node for name in node.output}
    (pad,) = (node for node in model.graph.node if node.op_type == "Pad")
    (reader,) = (node for node in model.graph.node if pad.output[0] in node.input)
    before = made_by[pad.input[0]]
    assert (before.op_type, reader.op_type) == ("QuantizeLinear", "DequantizeLinear")
    assert tensors[pad.input[2]] == tensors[reader.input[2]] == tensors[before.input[2]] != 0
    assert tensors[before.input[1]] == tensors[reader.input[1]]
    assert pad_bytes(model) == 0


@pytest.mark.parametrize("kind", ["leaky", "swish"])
def test_a_file_with_pads_of_floats_gives_the_same_with_pads_of_bytes(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("export.int8.quantize.pad_bytes", lambda model: 0)
    older = write_files(tmp_path / "older", NETWORKS[kind]())["uint8"]
    model = onnx.load(str(older))
    assert pad_bytes(model) == 1
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(tmp_path / "newer.onnx"))
    clips = some_clips()
    found = [plain("onnxruntime", file)(clips) for file in (older, tmp_path / "newer.onnx")]
    assert np.array_equal(*found)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("key", ["onnx.int8", "onnx.int8.x86"])
@pytest.mark.parametrize("kind", ["attention", "resnet"])
def test_an_exported_file_is_right_in_every_batch(
    kind: str, key: str, engine: str, exported: Callable[..., Any]
) -> None:
    """What is right for one clip is told by the known answers; here sums may saturate."""
    bundle = Bundle.load(exported(kind).folder)
    known = bundle.known_answers
    assert known is not None
    file = bundle.artifacts[key].paths[0]
    clips = np.fromfile(bundle.root / KNOWN_CLIPS, np.uint8).reshape(-1, *bundle.spec.clip_shape)
    run = plain(engine, file)
    expected = np.array(known.logits[key])
    alone = np.concatenate([run(clip[None].copy()) for clip in clips])
    difference = np.square(alone - expected).mean() / np.square(expected).mean()
    assert np.sqrt(difference) <= (2 if SATURATES else 1) * known.limits[key]
    many = np.concatenate([clips] * -(-max(BATCHES) // len(clips)))
    for batch in BATCHES:
        found = run(np.ascontiguousarray(many[:batch]))
        wanted = np.concatenate([alone] * len(many))[:batch]
        assert np.abs(found - wanted).max() <= 1e-3 * np.abs(wanted).max(), batch
