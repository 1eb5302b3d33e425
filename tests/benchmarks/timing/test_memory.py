"""Memory of a deployment in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.timing import memory
from infer.bundle.bundle import describe_file, write_bundle_json
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec

ROOT = Path(memory.__file__).resolve().parents[2]
SPEC = ClipSpec(SamplingSpec(num_seg=2), PreprocessSpec(short_size=16, fixed_ratio=False, crop=16))


def test_the_peak_grows_with_what_is_held() -> None:
    if memory.peak_bytes() is None:
        pytest.skip("this system does not tell the peak of a process")
    code = (
        "from infer.system.hardware import peak_bytes as peak\n"
        "before = peak()\n"
        "held = b'1' * (before + 40_000_000)\n"  # more than was ever there
        "after = peak()\n"
        "del held\n"
        "print(before, after, peak())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    before, after, freed = map(int, done.stdout.split())
    assert after - before > 30_000_000
    assert freed == pytest.approx(after, rel=0.02)


@pytest.mark.parametrize(
    "code",
    [
        "from infer.system.hardware import peak_bytes as peak",
        "import sys; from types import SimpleNamespace as Fake; "
        "sys.modules['paddle'] = Fake(device=Fake(get_device=lambda: 'cpu')); "
        "from train.engine.reporter import peak_memory as peak",
    ],
)
def test_the_peak_is_not_that_of_the_process_that_started_it(code: str) -> None:
    if memory.peak_bytes() is None:
        pytest.skip("this system does not tell the peak of a process")
    held = np.ones(60_000_000)  # 480 MB
    command = [sys.executable, "-c", f"{code}; print(peak())"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert int(done.stdout) < held.nbytes / 2


def test_what_does_not_run_has_its_reason(tmp_path: Path) -> None:
    found = memory.measure_memory(tmp_path / "nowhere", "onnxruntime:fp32", threads=1)
    assert found["bytes"] is None and "nowhere" in found["reason"]


def wide(folder: Path, repeats: int) -> Path:
    """A bundle without weights, whose only activations are `repeats` times the pixels, float32."""
    onnx = pytest.importorskip("onnx")
    helper, tensor = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["clip"], ["pixels"], to=tensor.FLOAT),
        helper.make_node("Tile", ["pixels", "repeats"], ["wide"]),
        helper.make_node("ReduceMean", ["wide"], ["logits"], axes=[1, 2, 3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("clip", tensor.UINT8, ["batch", *SPEC.clip_shape])],
        [helper.make_tensor_value_info("logits", tensor.FLOAT, ["batch", 3])],
        [onnx.numpy_helper.from_array(np.array([1, repeats, 1, 1, 1], np.int64), "repeats")],
    )
    folder.mkdir()
    opset = helper.make_opsetid("", 17)
    onnx.save(
        helper.make_model(graph, opset_imports=[opset], ir_version=8), str(folder / "model.onnx")
    )
    artifact = {"format": "onnx", "precision": "fp32"}
    artifact["files"] = [describe_file(folder, "model.onnx")]
    content = {
        "format_version": 1,
        "name": "wide",
        "model": {"class_num": 3, "num_seg": 2, "parameters": 0},
        "classes": ["a", "b", "c"],
        "spec": SPEC.to_dict(),
        "input": {"name": "clip", "dtype": "uint8", "shape": ["batch", *SPEC.clip_shape]},
        "output": {"name": "logits", "dtype": "float32", "shape": ["batch", 3]},
        "max_batch": 4,
        "artifacts": {"onnx.fp32": artifact},
        "origin": {},
    }
    write_bundle_json(folder, content)
    return folder


def test_the_activations_of_a_clip_count(tmp_path: Path) -> None:
    """A network that was only opened holds none: its first runs make them."""
    if memory.peak_bytes() is None:
        pytest.skip("this system does not tell the peak of a process")
    repeats = 20_000
    narrow = memory.measure_memory(wide(tmp_path / "a", 1), "onnxruntime:fp32", threads=1)
    broad = memory.measure_memory(wide(tmp_path / "b", repeats), "onnxruntime:fp32", threads=1)
    held = 4 * repeats * int(np.prod(SPEC.clip_shape))  # 123 MB
    assert 0.9 * held < broad["bytes"] - narrow["bytes"] < 3 * held
