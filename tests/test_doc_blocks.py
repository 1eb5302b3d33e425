"""Every Python and YAML block of README and docs/ runs, or says in a comment why it cannot."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from export.int8.quantize import calibrate, quantize
from infer.bundle.bundle import describe_file, write_bundle_json
from infer.clips.spec import ClipSpec
from tests.tiny_bundle import CLASSES, SPEC, bundle_dict, colour_frames, write_bundle

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^ *```$", re.MULTILINE | re.DOTALL
)
NOT_RUN = re.compile(r"<!-- not run: (?P<reason>.+) -->\s*\Z")


@dataclass(frozen=True)
class Block:
    """A block of code, where it is, and why it is not run, or None."""

    place: str
    language: str
    code: str
    not_run: str | None


def blocks(text: str, name: str) -> list[Block]:
    found = []
    for match in BLOCK.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        code = re.sub(rf"^{match['indent']}", "", match["code"], flags=re.MULTILINE)
        marked = NOT_RUN.search(text, 0, match.start())
        found.append(
            Block(f"{name}:{line}", match["language"], code, marked["reason"] if marked else None)
        )
    return found


ALL = [
    block
    for page in PAGES
    for block in blocks(page.read_text(encoding="utf-8"), page.relative_to(ROOT).as_posix())
]
PYTHON = [block for block in ALL if block.language == "python"]
YAML = [block for block in ALL if block.language == "yaml"]


def network(spec: ClipSpec = SPEC) -> onnx.ModelProto:
    """The brightest colour wins, by way of a convolution that can be quantized."""
    _, _, _, channels = spec.clip_shape
    frames, height, width, _ = spec.clip_shape
    tensors = {
        "frame": np.array([-1, height, width, channels], np.int64),
        "kernel": np.eye(3, dtype=np.float32).reshape(3, 3, 1, 1),
        "clip_features": np.array([-1, frames, channels], np.int64),
        "weights": np.eye(3, dtype=np.float32) * 0.05,
    }
    nodes = [
        helper.make_node("Cast", ["clip"], ["pixels"], to=TensorProto.FLOAT),
        helper.make_node("Reshape", ["pixels", "frame"], ["frames"]),
        helper.make_node("Transpose", ["frames"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "kernel"], ["features"], "backbone.last_conv"),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
        helper.make_node("Reshape", ["pooled", "clip_features"], ["by_frame"]),
        helper.make_node("ReduceMean", ["by_frame"], ["means"], axes=[1], keepdims=0),
        helper.make_node("Gemm", ["means", "weights"], ["logits"], "head.fc"),
    ]
    clip = helper.make_tensor_value_info("clip", TensorProto.UINT8, ["batch", *spec.clip_shape])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    constants = [numpy_helper.from_array(value, name) for name, value in tensors.items()]
    graph = helper.make_graph(nodes, "colours", [clip], [logits], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """A working folder with the bundles and videos that the pages name."""
    made = tmp_path_factory.mktemp("reader")
    for name in ("dml", "mine"):
        bundle = write_bundle(made / "bundles" / name, network())
        content = bundle_dict(bundle)
        clips = [colour_frames(colour, *SPEC.clip_shape[:2]) for colour in CLASSES]
        quantize(calibrate(bundle / "model.fp32.onnx", clips), target=bundle / "model.int8.onnx")
        files = [describe_file(bundle, "model.int8.onnx")]
        content["artifacts"]["onnx.int8"] = {"format": "onnx", "precision": "int8", "files": files}
        write_bundle_json(bundle, content)
    for name in ("clip.mp4", "a.mp4", "b.mp4", "upload.mp4"):
        write_clip(made / name, colour_frames("blue"))
    return made


@pytest.mark.parametrize("block", PYTHON, ids=lambda block: block.place)
def test_a_python_block_runs(block: Block, folder: Path, installed_name: Path) -> None:
    if block.not_run:
        pytest.skip(block.not_run)
    path = os.pathsep.join([str(installed_name), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", block.code], cwd=folder, env={**os.environ, "PYTHONPATH": path},
        capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.place)
def test_a_yaml_block_is_yaml(block: Block) -> None:
    assert isinstance(yaml.safe_load(block.code), dict | list)


def test_the_pages_have_blocks_of_each_language() -> None:
    assert len(PYTHON) >= 4 and len(YAML) >= 5
    assert {block.language for block in ALL} == {"sh", "python", "yaml", "text"}


def test_a_block_is_found_with_its_mark() -> None:
    text = (
        "a\n\n<!-- not run: needs a GPU -->\n```python\nx\n```\n\n- b\n\n  ```sh\n  y\n  z\n  ```\n"
    )
    assert blocks(text, "page") == [
        Block("page:4", "python", "x\n", "needs a GPU"),
        Block("page:10", "sh", "y\nz\n", None),
    ]
