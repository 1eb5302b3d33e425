"""The gate compares the layers of 8-bit files with fp32, and says why where it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from benchmarks.gate.results import layer_record
from benchmarks.gate.results.result_file import load_results
from infer.bundle.bundle import describe_file, write_bundle_json
from infer.clips.preprocess import load_clips
from tests.benchmarks.gate.networks import SEES, SPEC, run, write_bundle

pytestmark = pytest.mark.usefixtures("tried")
STEP = 16.0
KEY = "onnx.int8"


@pytest.fixture(scope="module")
def coarse(world: Path) -> Path:
    """A bundle whose 8-bit file rounds the mean colour to multiples of 16, and nothing else."""
    folder = write_bundle(world / "coarse", SEES, SEES)
    file = folder / "model.int8.onnx"
    model = onnx.load(str(file))
    model.graph.initializer.append(numpy_helper.from_array(np.float32(STEP), "step"))
    model.graph.initializer.append(numpy_helper.from_array(np.int8(0), "zero"))
    for node in model.graph.node:
        for place, name in enumerate(node.input):
            if name == "colour":
                node.input[place] = "rounded"
    nodes = [
        *model.graph.node,
        helper.make_node("QuantizeLinear", ["colour", "step", "zero"], ["bytes"]),
        helper.make_node("DequantizeLinear", ["bytes", "step", "zero"], ["rounded"]),
    ]
    nodes = [nodes[place] for place in (0, 1, 4, 5, 2, 3)]
    copies = [onnx.NodeProto.FromString(node.SerializeToString()) for node in nodes]
    del model.graph.node[:]
    model.graph.node.extend(copies)
    onnx.save(model, str(file))
    said = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    said.pop("sha256", None)
    said["artifacts"][KEY]["files"] = [describe_file(folder, file.name)]
    write_bundle_json(folder, said)
    return folder


def measured(world: Path, folder: Path, student: str) -> tuple[dict[str, Any], str]:
    """What the result says of the layers, and the report."""
    out = folder / "results.json"
    more = ("--no-latency", "--tell-only", "--sheets", "0", "--report", str(folder / "report"))
    assert run(world, "blind", student, out, *more) == 0
    text = (folder / "report" / "report.md").read_text(encoding="utf-8")
    return load_results(out)["layers"], text


@pytest.mark.usefixtures("coarse")
def test_the_result_and_the_report_have_the_error_of_each_layer(
    world: Path, tmp_path: Path
) -> None:
    layers, text = measured(world, tmp_path, "coarse")
    # Of the 30 clips 16 evenly spread ones, the last of which is no video.
    chosen = [f"clip {place}.mp4" for place in np.linspace(0, 29, 16).round().astype(int)][:-1]
    colours = np.stack([
        load_clips(world / "clips" / name, SPEC)[0][0].astype(np.float64).mean((0, 1, 2))
        for name in chosen
    ])  # fmt: skip
    own = np.clip(np.rint(colours / STEP), -128, 127) * STEP
    error = np.linalg.norm(own - colours) / np.linalg.norm(colours)
    assert layers["clips"] == 15 and list(layers["artifacts"]) == [KEY]
    found = layers["artifacts"][KEY]
    assert found["cells"] == ["onnxruntime:int8"]
    (layer,) = found["layers"]
    assert layer["layer"] == "hidden" and layer["kind"] == "linear" and layer["rounding"] is None
    assert layer["error"] == pytest.approx(error, rel=1e-3) and error > 0.01
    decibels = f"{-20 * np.log10(error):.1f}"
    assert f"| hidden | linear | {decibels} | {100 * error:.1f} % | \u2014 |" in text


def test_a_file_without_8_bit_layers_is_left_out_with_the_reason(
    world: Path, tmp_path: Path
) -> None:
    layers, text = measured(world, tmp_path, "good")
    assert "no layer" in layers["artifacts"][KEY]["reason"]
    assert "was left out: model.int8.onnx has no layer" in text


@pytest.mark.usefixtures("coarse")
def test_without_the_package_onnx_the_report_says_how_to_install_it(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layer_record, "find_spec", lambda name: None)
    layers, text = measured(world, tmp_path, "coarse")
    assert "pip install" in layers["artifacts"][KEY]["reason"]
    assert "onnx is not installed" in text


def test_without_8_bits_that_is_said(world: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    more = ("--no-latency", "--tell-only", "--sheets", "0", "--report", str(tmp_path / "report"))
    from benchmarks.gain import main

    assert main([
        "--baseline", str(world / "blind"), "--student", str(world / "good"),
        "--data", str(world / "test.list"), "--root", str(world / "clips"), "--out", str(out),
        "--resamples", "500", "--threads", "1", "--cells", "onnxruntime:fp32", *more,
    ]) == 0  # fmt: skip
    assert load_results(out)["layers"] == {"clips": 0, "artifacts": {}}
    assert "No deployment with 8 bits" in (tmp_path / "report/report.md").read_text("utf-8")
