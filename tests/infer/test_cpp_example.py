"""examples/cpp: a program that knows of a bundle what its ONNX file says, and nothing else."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest

from infer.bundle.onnx_metadata import CLASSES, onnx_metadata
from infer.clips.preprocess import load_clips
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.pipeline.rank import top_k
from tests.tiny_bundle import colour_graph

pytestmark = pytest.mark.peer
ROOT = Path(__file__).resolve().parents[2]
NAMES = ['röt "1"\\', "green\n\x01", "blue"]
SPEC = ClipSpec(
    SamplingSpec(num_seg=2, views=3), PreprocessSpec(short_size=32, fixed_ratio=False, crop=32)
)


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The example, built against the OpenVINO of this environment."""
    missing = [tool for tool in ("cmake", "c++") if shutil.which(tool) is None]
    found = importlib.util.find_spec("openvino")
    if missing or found is None or found.origin is None:
        pytest.skip(f"the C++ example needs {', '.join(missing) or 'openvino'}")
    package = Path(found.origin).parent
    if not (package / "cmake" / "OpenVINOConfig.cmake").is_file():
        pytest.skip("the installed openvino has no files for CMake")
    build = tmp_path_factory.mktemp("cpp")
    for command in (
        ["cmake", "-S", str(ROOT / "examples" / "cpp"), "-B", str(build),
         f"-DOpenVINO_DIR={package / 'cmake'}", "-DCMAKE_CXX_FLAGS=-Werror"],
        ["cmake", "--build", str(build)],
    ):  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    return build / "classify"


def write_model(path: Path, metadata: dict[str, str]) -> Path:
    graph = colour_graph(SPEC)
    onnx.helper.set_model_props(graph, metadata)
    onnx.save(graph, str(path))
    return path


def run(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(list(map(str, command)), capture_output=True, text=True, timeout=120)


def test_it_answers_as_predict_does(program, colour_clip, tmp_path):
    import onnxruntime as ort

    model = write_model(tmp_path / "m.onnx", onnx_metadata(NAMES, SPEC))
    session = ort.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    raw, expected = [], []
    for name in ("red", "green", "blue"):
        clips, _ = load_clips(colour_clip(f"{name}.mp4", name), SPEC)
        assert len(clips) == 3
        clips[1:] //= 3  # other scores for each view
        raw.append(tmp_path / f"{name}.raw")
        raw[-1].write_bytes(clips.tobytes())
        (logits,) = session.run(None, {"clip": clips})
        expected += top_k(logits, 1, NAMES)
    done = run(program, model, *raw)
    assert (done.returncode, done.stderr) == (0, "")
    # A name may hold a line break: what stands between the names of the files is the rest.
    text = done.stdout
    for file, best in zip(raw, expected, strict=True):
        head = f"{file}\t{best.label}\t"
        assert text.startswith(head)
        score, _, text = text[len(head) :].partition("\n")
        assert float(score) == pytest.approx(best.score, abs=1e-5)
    assert text == "" and [one.label for one in expected] == NAMES


def test_wrong_input_is_told(program, tmp_path):
    model = write_model(tmp_path / "m.onnx", onnx_metadata(NAMES, SPEC))
    (tmp_path / "short.raw").write_bytes(b"12345")
    (tmp_path / "black.raw").write_bytes(np.zeros(SPEC.clip_shape, np.uint8).tobytes())
    done = run(program, model, tmp_path / "short.raw", tmp_path / "black.raw", tmp_path / "none")
    assert done.returncode == 1 and done.stdout.startswith(f"{tmp_path / 'black.raw'}\t{NAMES[0]}")
    assert "short.raw: 5 bytes" in done.stderr and "none: 0 bytes" in done.stderr
    assert run(program, model).returncode == 2
    assert run(program, tmp_path / "none.onnx", tmp_path / "black.raw").returncode == 2
    silent = write_model(tmp_path / "silent.onnx", {})
    done = run(program, silent, tmp_path / "black.raw")
    assert done.returncode == 2 and "classes" in done.stderr
    other = write_model(tmp_path / "other.onnx", {CLASSES: json.dumps(NAMES[:2])})
    assert run(program, other, tmp_path / "black.raw").returncode == 2
