"""Tiny bundles of tests/tiny_bundle.py, and clips for them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from infer.bundle.bundle import describe_file, write_bundle_json
from infer.clips.spec import ClipSpec
from tests.tiny_bundle import SPEC, colour_frames, write_bundle


@pytest.fixture
def make_bundle(tmp_path: Path) -> Callable[..., Path]:
    """`make_bundle(graph=..., spec=..., max_batch=...) -> folder`."""

    def make(
        graph: onnx.ModelProto | None = None, spec: ClipSpec = SPEC, max_batch: int = 4
    ) -> Path:
        return write_bundle(tmp_path / "bundle", graph, spec, max_batch)

    return make


@pytest.fixture
def colour_clip(tmp_path: Path, write_clip: Callable[..., Path]) -> Callable[..., Path]:
    """`colour_clip("a.mp4", "red", frames=6) -> path`: a video of one colour."""

    def make(name: str, colour: str, frames: int = 6, size: int = 32) -> Path:
        return write_clip(tmp_path / name, colour_frames(colour, frames, size))

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


@pytest.fixture
def bundle(make_bundle):
    return make_bundle()
