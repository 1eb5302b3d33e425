"""The MobileNet students from a short training to labels, in every precision."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime
import paddle
import pytest
import yaml
from paddle import nn

from export.__main__ import main as export_main
from export.clips import selection
from export.int8.quantize import KEEP_FLOAT, kept_in_float
from export.network.strip import strip
from export.qat.graph_net import GraphNet
from export.verify.origin import onnx_tensors
from export.verify.parity import dynamic, gap
from infer.bundle.bundle import Bundle
from infer.predict import main as predict_main
from infer.runtimes.open import open_runtime
from tests.export.conftest import CLASSES, SATURATES, SEGMENTS, config_of, pair, slim_resnet
from train.__main__ import main as train_main
from train.checkpoints.checkpoint import load_file, model_weights
from train.config.load import Config, load_config
from train.models.pixels import PixelInput


def student(name: str, **backbone: Any) -> dict[str, Any]:
    settings = {"name": name, "num_seg": SEGMENTS, "class_num": CLASSES, "scale": 0.25}
    return {"backbone": {**settings, **backbone}, "head": {"name": "MoViNetHead"}}


SMALL = student("PPTSM_MobileNetV3", size="small", class_expand=48)
MODELS = {
    "v2": pair(student("PPTSM_MobileNetV2"), slim_resnet(18)),
    "v3": {"framework": "Recognizer2D", **SMALL},
}
FILES = ["model.fp32.onnx", "model.int8.onnx", "model.int8.x86.onnx"]


class Made(NamedTuple):
    """A run's config and folder, and the bundle that was made of it."""

    cfg: Config
    run: Path
    bundle: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, clips: Path) -> Callable[[str], Made]:
    """`made(kind)`: trained and exported by the commands, once; nothing may be left out."""
    known: dict[str, Made] = {}

    def make(kind: str) -> Made:
        if kind not in known:
            folder = tmp_path_factory.mktemp(kind)
            content = config_of(MODELS[kind], clips)
            content["DATASET"] |= {"batch_size": 3, "num_workers": 0}
            file = folder / "config.yaml"
            file.write_text(yaml.safe_dump({**content, "output_dir": str(folder / "run")}))
            assert train_main(["-c", str(file)]) == 0
            options = ["--require", "all", "--calibration-clips", "6", "--max-batch", "2"]
            options += ["--reduce-range"] if SATURATES else []
            paths = ["--checkpoint", str(folder / "run"), "--out", str(folder / "bundle")]
            assert export_main([*paths, *options, "--threads", "1"]) == 0
            known[kind] = Made(load_config(file), folder / "run", folder / "bundle")
        return known[kind]

    return make


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(
    ("backend", "precision", "share"),
    [
        ("onnxruntime", "fp32", 1e-4),
        ("onnxruntime", "fp16", 0.05),
        ("onnxruntime", "int8", 0.3),
        ("openvino", "int8", 0.3),
    ],
)
def test_runtimes_answer_as_the_trained_network(
    kind: str, backend: str, precision: str, share: float, made: Callable[[str], Made]
) -> None:
    pytest.importorskip(backend)
    cfg, run, folder = made(kind)
    weights = model_weights(load_file(run / "best.pdparams"), source=run)
    network = strip(weights, cfg.model, source=run).network
    bundle = Bundle.load(folder)
    spec = bundle.spec.preprocess
    clips = selection.calibration(cfg, count=6).clips
    trained = dynamic(nn.Sequential(PixelInput(spec.mean, spec.std), network))(clips)
    with open_runtime(bundle, backend=backend, precision=precision, threads=1) as runtime:
        found = runtime.run(clips)
    assert gap(trained, found).share < share


@pytest.mark.parametrize("kind", MODELS)
def test_a_bundle_labels_videos(
    kind: str, clips: Path, made: Callable[[str], Made], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = made(kind).bundle
    capsys.readouterr()
    videos = [str(clips / "clip 0.mp4"), str(clips / "clip 1.mp4")]
    assert predict_main(["--bundle", str(folder), "--video", *videos, "--format", "json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["label"] in made(kind).cfg.class_names for line in lines] == [True, True]


@pytest.mark.parametrize("kind", MODELS)
def test_every_convolution_but_the_gates_runs_in_8_bits(
    kind: str, tmp_path: Path, made: Callable[[str], Made]
) -> None:
    folder = made(kind).bundle
    plain = onnx.load(str(folder / FILES[0]))
    kept = set(kept_in_float(plain, KEEP_FLOAT))
    counts = Counter(node.op_type for node in plain.graph.node)
    gates = [node for node in plain.graph.node if node.op_type == "HardSigmoid"]
    assert len(gates) == (0 if kind == "v2" else 9) and {node.name for node in gates} <= kept
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(folder / FILES[2]), options)
    nodes = onnx.load(str(tmp_path / "optimised.onnx")).graph.node
    found = Counter(node.op_type for node in nodes)
    assert found["Conv"] + found["FusedConv"] == 2 * len(gates)
    assert found["QLinearConv"] == counts["Conv"] - 2 * len(gates)
    # ReLU6 is a limit of the bytes; shifts and sums are of bytes too.
    assert found["Clip"] == 0
    assert found["QLinearConcat"] == counts["Concat"]
    assert found["Add"] <= 1, "the pixels' offset"


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("file", FILES)
def test_a_fine_tune_computes_what_the_file_does(
    kind: str, file: str, made: Callable[[str], Made]
) -> None:
    folder = made(kind).bundle
    model = onnx.load(str(folder / file))
    clips = np.random.default_rng(0).integers(0, 256, (2, SEGMENTS, 32, 32, 3), dtype=np.uint8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    expected = session.run(None, {"clip": clips})[0]
    net = GraphNet(model, onnx_tensors(onnx.load(str(folder / FILES[0]))))
    net.eval()
    with paddle.no_grad():
        found = net(paddle.to_tensor(clips)).numpy()
    # A sum in another order ends on the other side of a rounding now and then.
    assert gap(expected, found).share < (1e-4 if file == FILES[0] else 0.1)
