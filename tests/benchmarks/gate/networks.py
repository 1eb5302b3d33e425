"""Bundles of networks that see colours, and runs of the gate on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gain import main
from infer.bundle.bundle import describe_file, write_bundle_json
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from train.data.clip_set import clip_set
from train.data.fold_lists import FoldLists, write_folds
from train.data.lists import read_list

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}


SPEC = ClipSpec(SamplingSpec(num_seg=2), PreprocessSpec(short_size=16, fixed_ratio=False, crop=16))


SEES = np.eye(3) / 50


BLIND = SEES * [1, 1, 0] - [0, 0, 1]  # never says blue


STUCK = np.array([[1.0, 0, 0]] * 3)


def write_network(path: Path, weights: np.ndarray, first: np.ndarray | None = None) -> None:
    """uint8 [batch, 2, 16, 16, 3] -> mean colour -> two linear layers, as ONNX."""
    onnx = pytest.importorskip("onnx")
    helper, tensor = onnx.helper, onnx.TensorProto
    layers = {"first": np.eye(3) if first is None else first, "second": weights}
    nodes = [
        helper.make_node("Cast", ["clip"], ["pixels"], to=tensor.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("MatMul", ["colour", "first"], ["hidden"]),
        helper.make_node("MatMul", ["hidden", "second"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("clip", tensor.UINT8, ["batch", *SPEC.clip_shape])],
        [helper.make_tensor_value_info("logits", tensor.FLOAT, ["batch", len(COLOURS)])],
        [onnx.numpy_helper.from_array(v.astype(np.float32), name) for name, v in layers.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))


def write_bundle(
    folder: Path,
    fp32: np.ndarray,
    int8: np.ndarray,
    *,
    noise: np.ndarray | None = None,
    **changes: object,
) -> Path:
    """A bundle of two files; `noise` is the first layer of the one called int8."""
    folder.mkdir()
    artifacts = {}
    for precision, weights, first in (("fp32", fp32, None), ("int8", int8, noise)):
        name = f"model.{precision}.onnx"
        write_network(folder / name, weights, first)
        artifacts[f"onnx.{precision}"] = {
            "precision": precision,
            "format": "onnx",
            "files": [describe_file(folder, name)],
            "parity": {},
            "accuracy": {},
        }
    write_bundle_json(
        folder,
        {
            "format_version": 1,
            "name": folder.name,
            "model": {"class_num": 3, "num_seg": 2, "parameters": 9},
            "classes": list(COLOURS),
            "spec": SPEC.to_dict(),
            "input": {"name": "clip", "dtype": "uint8", "shape": ["batch", *SPEC.clip_shape]},
            "output": {"name": "logits", "dtype": "float32", "shape": ["batch", 3]},
            "max_batch": 4,
            "artifacts": artifacts,
            "origin": {"config": "tiny.yaml", "seed": 3},
        }
        | changes,
    )
    return folder


def run(world: Path, baseline: str, student: str, out: Path, *more: str) -> int:
    return main(
        [
            "--baseline", *(str(world / name) for name in baseline.split()),
            "--student", *(str(world / name) for name in student.split()),
            "--data", str(world / "test.list"), "--root", str(world / "clips"),
            "--out", str(out), "--resamples", "500", "--threads", "1",
            "--backends", "onnxruntime", *more,
        ]
    )  # fmt: skip


def dealt(world: Path, folder: Path) -> FoldLists:
    """Two folds of the clips of a world, each three in the order of its list a group."""
    samples = read_list(world / "test.list", root=world / "clips")
    clips = clip_set(samples, world / "clips", "VideoDataset", "", world / "test.list")
    groups = folder / "groups.txt"
    groups.write_text("".join(f"{path} g{place // 3}\n" for place, path in enumerate(clips.paths)))
    return write_folds(folder / "folds", clips, folds=2, groups=str(groups))


def cell(results: dict[str, Any], key: str) -> dict[str, Any]:
    return next(row for row in results["cells"] if row["cell"] == key)
