"""A tiny bundle that needs no training: the brightest of the colours red, green, blue wins."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from infer.bundle.bundle import describe_file, write_bundle_json
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec

CLASSES = ["red", "green", "blue"]
SPEC = ClipSpec(
    SamplingSpec(num_seg=4),
    PreprocessSpec(short_size=32, fixed_ratio=False, crop=32),
)


def colour_graph(spec: ClipSpec, classes: int = 3, out_name: str = "logits") -> onnx.ModelProto:
    """uint8 [batch, T, H, W, 3] -> mean of each channel -> logits."""
    weights = np.eye(3, classes, dtype=np.float32) * 0.05
    nodes = [
        helper.make_node("Cast", ["clip"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["means"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("Gemm", ["means", "weights"], [out_name]),
    ]
    clip = helper.make_tensor_value_info("clip", TensorProto.UINT8, ["batch", *spec.clip_shape])
    logits = helper.make_tensor_value_info(out_name, TensorProto.FLOAT, ["batch", classes])
    init = [numpy_helper.from_array(weights, "weights")]
    graph = helper.make_graph(nodes, "colours", [clip], [logits], init)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


def bundle_dict(folder: Path, spec: ClipSpec = SPEC, *, max_batch: int = 4) -> dict:
    """bundle.json for a folder that holds model.fp32.onnx."""
    file = describe_file(folder, "model.fp32.onnx")
    return {
        "format_version": 1,
        "name": "colours",
        "model": {"class_num": 3, "num_seg": spec.sampling.num_seg, "parameters": 9},
        "classes": CLASSES,
        "spec": spec.to_dict(),
        "input": {"name": "clip", "dtype": "uint8", "shape": ["batch", *spec.clip_shape]},
        "output": {"name": "logits", "dtype": "float32", "shape": ["batch", 3]},
        "max_batch": max_batch,
        "artifacts": {"onnx.fp32": {"format": "onnx", "precision": "fp32", "files": [file]}},
        "origin": {},
    }


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """`make_bundle(graph=..., spec=..., max_batch=...) -> folder`."""

    def make(
        graph: onnx.ModelProto | None = None, spec: ClipSpec = SPEC, max_batch: int = 4
    ) -> Path:
        folder = tmp_path / "bundle"
        folder.mkdir(exist_ok=True)
        onnx.save(graph or colour_graph(spec), str(folder / "model.fp32.onnx"))
        write_bundle_json(folder, bundle_dict(folder, spec, max_batch=max_batch))
        return folder

    return make


@pytest.fixture
def colour_clip(tmp_path: Path, write_clip: Callable[..., Path]) -> Callable[..., Path]:
    """`colour_clip("a.mp4", "red", frames=6) -> path`: a video of one colour."""

    def make(name: str, colour: str, frames: int = 6, size: int = 32) -> Path:
        pixels = np.full((frames, size, size, 3), 40, np.uint8)
        pixels[..., CLASSES.index(colour)] = 200
        return write_clip(tmp_path / name, pixels)

    return make


@pytest.fixture(scope="session")
def paddle_colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Paddle inference model that computes what `colour_graph` does for `SPEC`."""
    paddle = pytest.importorskip("paddle")
    folder = tmp_path_factory.mktemp("paddle")

    class Colours(paddle.nn.Layer):
        def __init__(self):
            super().__init__()
            start = paddle.nn.initializer.Assign(np.eye(3, dtype=np.float32) * 0.05)
            self.weights = self.create_parameter([3, 3], default_initializer=start)

        def forward(self, clip):
            return paddle.matmul(clip.astype("float32").mean([1, 2, 3]), self.weights)

    spec = [paddle.static.InputSpec([None, *SPEC.clip_shape], "uint8", name="clip")]
    net = paddle.jit.to_static(Colours(), input_spec=spec, full_graph=True)
    paddle.jit.save(net, str(folder / "inference"))
    return folder


@pytest.fixture
def add_artifact() -> Callable[..., None]:
    """`add_artifact(bundle, "onnx.int8.x86", file)`: one more artefact of these files."""

    def add(bundle: Path, key: str, *files: Path) -> None:
        form, precision = key.split(".")[:2]
        for file in files:
            target = bundle / key / file.name
            target.parent.mkdir(exist_ok=True)
            shutil.copy(file, target)
        described = [describe_file(bundle, f"{key}/{file.name}") for file in files]
        data = json.loads((bundle / "bundle.json").read_text())
        data["artifacts"][key] = {"format": form, "precision": precision, "files": described}
        write_bundle_json(bundle, data)

    return add


@pytest.fixture
def bundle_for(make_bundle, add_artifact, request) -> Callable[..., Path]:
    """`bundle_for("paddle", max_batch=4)`: a bundle that the backend can run in fp32."""

    def make(backend: str, **settings: object) -> Path:
        folder = make_bundle(**settings)
        if backend == "paddle":
            model = request.getfixturevalue("paddle_colours")
            files = [model / "inference.json", model / "inference.pdiparams"]
            add_artifact(folder, "paddle.fp32", *files)
        else:
            pytest.importorskip(backend)
        return folder

    return make
