"""An 8-bit file that an engine computes wrong on this processor is refused, and says why."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from infer import doctor
from infer.bundle.bundle import Bundle, describe_file, write_bundle_json
from infer.bundle.known_answers import KNOWN_CLIPS
from infer.runtimes import known_answers
from infer.runtimes.known_answers import AnswersDiffer, saturates
from infer.runtimes.onnxruntime.runtime import OrtRuntime
from infer.runtimes.open import open_runtime
from infer.system.errors import AlteredError, BackendError, BundleError
from tests.tiny_bundle import SPEC

KEY = "onnx.int8.x86"
LIMIT = 0.1
DARK, BRIGHT = 100, 255
"""Two products of a dark pixel and a weight fit into 16 bits, those of a bright one do not."""


def heavy_file(target: Path) -> Path:
    """uint8 clips -> a convolution of bytes, all of whose weights are 127 -> logits."""
    rng = np.random.default_rng(0)
    constants = {
        "frames": np.array([-1, 32, 32, 3]),
        "segments": np.array([-1, 4 * 16]),
        "one": np.array(1, np.float32),
        "zero": np.array(0, np.uint8),
        "weight_quantized": np.full((16, 3, 3, 3), 127, np.int8),
        "weight_scale": np.linspace(0.001, 0.01, 16, dtype=np.float32),
        "weight_zero": np.zeros(16, np.int8),
        "step": np.array(40, np.float32),
        "classes": rng.normal(0, 0.001, (4 * 16, 3)).astype(np.float32),
    }
    node = helper.make_node
    nodes = [
        node(
            "DequantizeLinear",
            [f"weight_{n}" for n in ("quantized", "scale", "zero")],
            ["weight"],
            axis=0,
        ),
        node("Reshape", ["clip", "frames"], ["bytes"]),
        node("Transpose", ["bytes"], ["planes"], perm=[0, 3, 1, 2]),
        node("Cast", ["planes"], ["floats"], to=TensorProto.FLOAT),
        node("QuantizeLinear", ["floats", "one", "zero"], ["x.0"]),
        node("DequantizeLinear", ["x.0", "one", "zero"], ["x.1"]),
        node("Conv", ["x.1", "weight"], ["x.2"], kernel_shape=[3, 3], strides=[2, 2]),
        node("QuantizeLinear", ["x.2", "step", "zero"], ["x.3"]),
        node("DequantizeLinear", ["x.3", "step", "zero"], ["x.4"]),
        node("GlobalAveragePool", ["x.4"], ["x.5"]),
        node("Reshape", ["x.5", "segments"], ["x.6"]),
        node("MatMul", ["x.6", "classes"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "heavy",
        [helper.make_tensor_value_info("clip", TensorProto.UINT8, ["batch", *SPEC.clip_shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(target))
    return target


def as_written(file: Path, clips: np.ndarray) -> list[list[float]]:
    """Logits node by node, with floats between the roundings."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(str(file), options)
    found: list[list[float]] = session.run(None, {"clip": clips})[0].tolist()
    return found


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What is remembered here is of no other test."""
    monkeypatch.setenv("CLIPDUET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "known-answers"


Make = Callable[..., Path]


@pytest.fixture
def make(make_bundle: Make, add_artifact: Callable[..., None], tmp_path: Path) -> Make:
    """`make(DARK, factor=1)`: a bundle with fp32 and int8, and answers known for 2 clips."""

    def make(level: int, factor: float = 1.0) -> Path:
        folder = make_bundle()
        add_artifact(folder, KEY, heavy_file(tmp_path / "heavy.onnx"))
        noise = np.random.default_rng(0).integers(-9, 10, (2, *SPEC.clip_shape))
        clips = np.clip(level + noise, 0, 255).astype(np.uint8)
        clips.tofile(folder / KNOWN_CLIPS)
        logits = as_written(tmp_path / "heavy.onnx", clips)
        entry = {
            "clips": describe_file(folder, KNOWN_CLIPS),
            "logits": {KEY: [[factor * value for value in row] for row in logits]},
            "limits": {KEY: LIMIT},
        }
        rewrite(folder, known_answers=entry)
        return folder

    return make


def rewrite(folder: Path, **changes: Any) -> None:
    """Change bundle.json, and seal it."""
    data = json.loads((folder / "bundle.json").read_text())
    write_bundle_json(folder, {**data, **changes})


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the batches that ONNX Runtime was given."""
    found: list[int] = []
    run = OrtRuntime.run
    monkeypatch.setattr(
        OrtRuntime, "run", lambda self, clips: (found.append(len(clips)), run(self, clips))[1]
    )
    return found


def opened(folder: Path, backend: str = "onnxruntime", precision: str = "int8") -> str:
    """The precision of what was opened."""
    bundle = Bundle.load(folder)
    with open_runtime(bundle, backend=backend, precision=precision, threads=1) as runtime:
        return runtime.precision


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_what_comes_out_as_the_file_says_is_opened(make: Make, backend: str) -> None:
    pytest.importorskip(backend)
    assert opened(make(DARK), backend) == "int8"


def test_a_file_that_saturates_is_refused(make: Make) -> None:
    folder = make(BRIGHT)
    if not saturates():  # with VNNI nothing does
        assert opened(folder) == "int8"
        return
    with pytest.raises(AnswersDiffer, match="saturate") as caught:
        opened(folder)
    assert caught.value.backend == "onnxruntime"
    assert "model.fp32.onnx" in caught.value.remedy and "--reduce-range" in caught.value.remedy
    assert opened(folder, precision="auto") == "fp32"


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
def test_other_answers_are_refused(make: Make, backend: str) -> None:
    pytest.importorskip(backend)
    folder = make(DARK, factor=1 + 2 * LIMIT)
    with pytest.raises(AnswersDiffer) as caught:
        opened(folder, backend)
    assert "heavy.onnx" in caught.value.reason and "model.fp32.onnx" in caught.value.remedy
    assert opened(folder, backend, "fp32") == "fp32"
    assert opened(folder, backend, "auto") == "fp32"


def test_no_backend_is_chosen_that_computes_another_answer(make: Make) -> None:
    folder = make(DARK, factor=2)
    with pytest.raises(BackendError, match="known clips"):
        opened(folder, "auto")
    assert opened(folder, "auto", "auto") == "fp32"
    assert opened(make(DARK), "auto", "auto") == "int8"


def test_a_nan_is_no_answer(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make(DARK)
    monkeypatch.setattr(
        OrtRuntime, "run", lambda self, clips: np.full((len(clips), 3), np.nan, np.float32)
    )
    with pytest.raises(AnswersDiffer):
        opened(folder)


def test_clips_are_run_once_for_a_machine_and_a_file(
    make: Make, batches: list[int], monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    folder = make(DARK)
    opened(folder)
    assert sum(batches) == 2
    opened(folder)
    opened(folder, precision="fp32")
    assert sum(batches) == 2 and len(list(cache.iterdir())) == 1
    real = known_answers.cpu
    monkeypatch.setattr(known_answers, "cpu", lambda: replace(real(), name="another"))
    opened(folder)
    assert sum(batches) == 4
    monkeypatch.setattr("infer.runtimes.onnxruntime.runtime.version", lambda backend: "99.0")
    opened(folder)
    assert sum(batches) == 6
    for file in cache.iterdir():
        file.write_text('{"difference": "none"}')
    opened(folder)
    assert sum(batches) == 8


def test_what_was_refused_is_refused_again_without_a_run(make: Make, batches: list[int]) -> None:
    folder = make(DARK, factor=2)
    for _ in range(2):
        with pytest.raises(AnswersDiffer):
            opened(folder)
    assert sum(batches) == 2


def test_a_cache_that_cannot_be_written_is_done_without(
    make: Make, batches: list[int], tmp_path: Path
) -> None:
    folder = make(DARK)
    (tmp_path / "cache").write_text("a file")
    for _ in range(2):
        assert opened(folder) == "int8"
    assert sum(batches) == 4


def test_clips_that_were_changed_are_noticed(make: Make) -> None:
    folder = make(DARK)
    clips = bytearray((folder / KNOWN_CLIPS).read_bytes())
    clips[7] ^= 1
    (folder / KNOWN_CLIPS).write_bytes(clips)
    with pytest.raises(AlteredError, match=KNOWN_CLIPS):
        opened(folder)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"clips": None}, "known_answers.clips"),
        ({"logits": [1]}, "known_answers.logits"),
        ({"logits": {KEY: [[1, 2, 3]]}}, "rows"),
        ({"logits": {KEY: [[1, 2, 3], [1, 2, "3"]]}}, "finite"),
        ({"limits": {KEY: 0}}, "above 0"),
        ({"limits": {}}, "known_answers.limits"),
        ({"logits": {"onnx.int4": [[1, 2, 3]] * 2}}, "onnx.int4"),
    ],
)
def test_a_wrong_entry_is_an_error(make: Make, change: dict[str, Any], said: str) -> None:
    folder = make(DARK)
    entry = json.loads((folder / "bundle.json").read_text())["known_answers"]
    with pytest.raises(BundleError, match=said):
        rewrite(folder, known_answers={**entry, **change})


def test_doctor_says_what_came_out(make: Make) -> None:
    report = doctor.examine(make(DARK))
    bundle = report["bundle"]
    rows = {row["backend"]: row for row in bundle["known_answers"]}
    row = rows["onnxruntime"]
    assert (row["precision"], row["artifact"], row["clips"]) == ("int8", KEY, 2)
    assert 0 <= row["difference"] < row["limit"] == LIMIT and row["refused"] == ""
    assert bundle["runs"]["onnxruntime"]["int8"] == KEY
    assert any("known answers" in line for line in doctor.report_lines(report))


def test_doctor_does_not_run_what_is_refused(make: Make) -> None:
    report = doctor.examine(make(DARK, factor=2))
    row = next(r for r in report["bundle"]["known_answers"] if r["backend"] == "onnxruntime")
    assert row["difference"] > LIMIT and "known clips" in row["refused"]
    assert "int8" not in report["bundle"]["runs"]["onnxruntime"]
    assert report["bundle"]["runs"]["onnxruntime"]["fp32"] == "onnx.fp32"
    assert any("refused" in line for line in doctor.report_lines(report))
