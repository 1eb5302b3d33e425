"""The whole command on real video files and tiny ONNX networks made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.__main__ import main
from benchmarks.results import load
from infer.bundle import describe_file, write_bundle_json
from infer.spec import ClipSpec, PreprocessSpec, SamplingSpec

COLOURS = {"red": (200, 30, 30), "green": (30, 200, 30), "blue": (30, 30, 200)}
SPEC = ClipSpec(SamplingSpec(num_seg=2), PreprocessSpec(short_size=16, fixed_ratio=False, crop=16))


def write_network(path: Path, weights: np.ndarray) -> None:
    """uint8 [batch, 2, 16, 16, 3] -> mean colour -> one linear layer, as ONNX."""
    onnx = pytest.importorskip("onnx")
    helper, tensor = onnx.helper, onnx.TensorProto
    nodes = [
        helper.make_node("Cast", ["clip"], ["pixels"], to=tensor.FLOAT),
        helper.make_node("ReduceMean", ["pixels"], ["colour"], axes=[1, 2, 3], keepdims=0),
        helper.make_node("MatMul", ["colour", "weights"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("clip", tensor.UINT8, ["batch", *SPEC.clip_shape])],
        [helper.make_tensor_value_info("logits", tensor.FLOAT, ["batch", len(COLOURS)])],
        [onnx.numpy_helper.from_array(weights.astype(np.float32), "weights")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    onnx.save(model, str(path))


def write_bundle(folder: Path, fp32: np.ndarray, int8: np.ndarray, **changes: object) -> Path:
    folder.mkdir()
    artifacts = {}
    for precision, weights in (("fp32", fp32), ("int8", int8)):
        name = f"model.{precision}.onnx"
        write_network(folder / name, weights)
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


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """A list of 30 clips (one of them broken) and bundles good, colour-blind and collapsed."""
    folder = tmp_path_factory.mktemp("world")
    lines = []
    rng = np.random.default_rng(0)
    for number in range(30):
        label = number % 3
        colour = np.array(list(COLOURS.values())[label])
        frames = np.clip(colour + rng.integers(-20, 20, (3, 16, 16, 3)), 0, 255).astype(np.uint8)
        write_clip(folder / "clips" / f"clip {number}.mp4", frames)
        lines.append(f"clip {number}.mp4 {label}")
    (folder / "clips" / "clip 29.mp4").write_bytes(b"this is no video")
    (folder / "test.list").write_text("\n".join(lines) + "\n", encoding="utf-8")
    sees = np.eye(3) / 50
    blind = sees.copy()
    blind[:, 2] = [0, 0, -1]  # never says blue
    write_bundle(folder / "good", sees, sees + 1e-4)
    write_bundle(folder / "blind", blind, blind)
    write_bundle(folder / "lossy", sees, blind)
    write_bundle(folder / "collapsed", sees, np.array([[1.0, 0, 0]] * 3))
    return folder


def run(world: Path, baseline: str, student: str, out: Path, *more: str) -> int:
    return main(
        [
            "--baseline", str(world / baseline), "--student", str(world / student),
            "--data", str(world / "test.list"), "--root", str(world / "clips"),
            "--out", str(out), "--resamples", "500", "--threads", "1", *more,
        ]
    )  # fmt: skip


BOTH = ("--cells", "onnxruntime:fp32", "onnxruntime:int8")


def test_a_real_gain_is_found_and_its_loss_too(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "deep" / "results.json"
    assert run(world, "blind", "lossy", out, "--seconds", "0.2", "--repetitions", "2", *BOTH) == 0
    results = load(out)
    fp32, int8 = results["cells"]
    assert fp32["baseline"]["top1"]["point"] == pytest.approx(20 / 30)
    assert fp32["student"]["top1"]["point"] == pytest.approx(29 / 30)  # the broken clip is wrong
    assert fp32["gain"]["distinguishable"] and fp32["gain"]["only_second"] == 9
    assert int8["gain"]["point"] == 0 and int8["gain_left"]["share"]["point"] == 0
    assert results["data"]["listed"] == 30 and results["data"]["decoded"] == 29
    assert [row["path"] for row in results["data"]["failed"]] == ["clip 29.mp4"]
    assert fp32["student"]["predictions"][29] == -1
    # These networks look at mean colours: the order of the frames is nothing to them.
    shuffled = {r["model"]: r["top1"] for r in results["controls"] if "order" in r["control"]}
    assert shuffled == {model: fp32[model]["top1"] for model in ("baseline", "student")}
    said = capsys.readouterr().out
    assert "gains 30.00 points" in said and "not distinguishable from zero" in said


def test_times_cover_every_cell_and_batch_size(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    assert run(world, "blind", "good", out, "--seconds", "0.2", "--batch-sizes", "1", "6") == 2
    assert not out.exists()  # the default cells ask for Paddle, which these bundles lack
    assert (
        run(world, "blind", "good", out, "--seconds", "0.2", "--batch-sizes", "1", "6", *BOTH) == 0
    )
    results = json.loads(out.read_text())
    rows = results["latency"]["network"]
    assert {(row["model"], row["cell"], row["batch"]) for row in rows} == {
        (model, cell, batch)
        for model in ("baseline", "student")
        for cell in BOTH[1:]
        for batch in (1, 6)
    }
    assert len({row["calls"] for row in rows if row["batch"] == 1}) == 1
    for row in rows:
        assert 0 < row["p50"] <= row["p90"] <= row["p99"]
        assert row["clips_per_second"] > 0 and row["calls"] >= 5
        if row["cell"] == "onnxruntime:fp32":
            assert row["ratio"] == 1
    assert set(results["latency"]["stages"]) == {"read", "preprocess"}
    assert results["conditions"]["threads"] == 1
    assert results["conditions"]["machine"]["packages"]["onnxruntime"]


def test_identical_models_give_no_gain(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "results.json"
    assert run(world, "good", "good", out, "--no-latency", *BOTH) == 0
    for row in load(out)["cells"]:
        assert row["gain"]["point"] == 0 and row["gain"]["p"] == 1
    said = capsys.readouterr().out
    assert "not distinguishable from zero" in said and "gains" not in said
    assert "not be meaningful" in said


def test_one_class_for_everything_is_noticed(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    assert run(world, "good", "collapsed", out, "--no-latency", *BOTH) == 0
    assert load(out)["cells"][1]["student"]["classes_answered"] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--cells", "onnxruntime"], "runtime:precision"),
        (["--cells", "tensorflow:fp32"], "unknown runtime; allowed: onnxruntime, "),
        (["--cells", "onnxruntime:fp16"], "no file for onnxruntime:fp16 (it has: onnx.fp32"),
        (["--cells", "onnxruntime:fp32", "onnxruntime:fp32"], "more than once"),
        (["--threads", "0", "--batch-sizes", "0"], "--threads 0"),
        (["--student", "nowhere"], "nowhere is not there"),
    ],
)
def test_wrong_use_is_one_message_and_status_2(
    world: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    words: str,
) -> None:
    out = tmp_path / "results.json"
    assert run(world, "good", "blind", out, "--no-latency", *BOTH, *arguments) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and words in error and "Traceback" not in error
    assert not out.exists()


def test_other_classes_are_not_comparable(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other"
    write_bundle(other, np.eye(3), np.eye(3), classes=["green", "red", "blue"])
    arguments = ["--student", str(other), *BOTH]
    assert run(world, "good", "good", tmp_path / "r.json", "--no-latency", *arguments) == 2
    assert "different classes" in capsys.readouterr().err
