"""The fine-tune for 8 bits: the graph that learns is the one that ships."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import paddle
import pytest
import yaml

from export.__main__ import main as export_command
from export.assemble.bundle import export_bundle
from export.int8.files import copy_trained
from export.int8.quantize import calibrate, quantize
from export.network.captured_output import ConversionError
from export.qat import __main__ as qat
from export.qat.__main__ import fine_tune
from export.qat.graph_net import GraphNet
from export.qat.trained import QatError, load_trained
from export.verify.origin import check_trained_origin, onnx_tensors
from export.verify.parity import VerificationError
from infer.bundle.bundle import Bundle
from infer.bundle.onnx_file import read_onnx_file
from infer.runtimes.open import open_runtime
from infer.system.files import sha256_of
from tests.export.conftest import QUICK, SATURATES
from train.config.load import load_config

KINDS = ["attention", "pair", "resnet"]
SETTINGS = {
    "epochs": 2,
    "OPTIMIZER": {"_replace_": True, "name": "AdamW", "learning_rate": 0.001},
    "QAT": {"calibration_clips": 4},
}


def answers(model: onnx.ModelProto, clips: np.ndarray, *, exact: bool = False) -> np.ndarray:
    """``exact``: node by node, with floats between the roundings."""
    options = ort.SessionOptions()
    if exact:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(model.SerializeToString(), options)
    logits: np.ndarray = session.run(None, {"clip": clips})[0]
    return logits


def learned(net: GraphNet, clips: np.ndarray) -> np.ndarray:
    net.eval()
    with paddle.no_grad():
        logits: np.ndarray = net(paddle.to_tensor(clips)).numpy()
    return logits


@pytest.fixture(scope="module")
def batch() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, 4, 32, 32, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def graphs(exported: Callable[..., Any], batch: np.ndarray) -> Callable[..., Any]:
    """`graphs(kind, activations)`: fp32 tensors and the Q/DQ graph; no activations: fp32."""

    def make(kind: str, activations: Any) -> tuple[dict[str, np.ndarray], onnx.ModelProto]:
        file = exported(kind).folder / "model.fp32.onnx"
        model = onnx.load(str(file))
        if activations:
            calibrated = calibrate(file, batch, threads=1)
            model = quantize(calibrated, activations=activations, reduce_range=SATURATES)
        return onnx_tensors(onnx.load(str(file))), model

    return make


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activations", [None, "int8", "uint8"])
def test_the_graph_computes_in_training_what_a_runtime_computes(
    kind: str, activations: str | None, graphs: Callable[..., Any], batch: np.ndarray
) -> None:
    floats, model = graphs(kind, activations)
    net = GraphNet(model, floats)
    expected, found = answers(model, batch, exact=True), learned(net, batch)
    # A sum in another order ends on the other side of a rounding now and then.
    tolerance = 1e-5 if activations is None else 0.01
    assert np.abs(found - expected).max() <= tolerance * np.abs(expected).max()
    if activations is not None:
        plain = answers(graphs(kind, None)[1], batch)
        assert np.abs(found - expected).max() < 0.5 * np.abs(plain - expected).max()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("activations", ["int8", "uint8"])
def test_an_untrained_graph_is_written_as_it_was(
    kind: str, activations: str, graphs: Callable[..., Any]
) -> None:
    floats, model = graphs(kind, activations)
    before, after = onnx_tensors(model), onnx_tensors(GraphNet(model, floats).to_onnx())
    assert before.keys() == after.keys()
    for name, value in before.items():
        step = 1 if value.dtype.kind in "iu" and value.dtype.itemsize < 8 else 0
        assert value.dtype == after[name].dtype
        np.testing.assert_allclose(after[name], value, rtol=1e-5, atol=step or 1e-12, err_msg=name)


@pytest.mark.parametrize("activations", ["int8", "uint8"])
def test_learning_reaches_weights_biases_and_steps_and_is_written(
    activations: str, graphs: Callable[..., Any], batch: np.ndarray
) -> None:
    floats, model = graphs("pair", activations)
    net = GraphNet(model, floats)
    teacher = paddle.to_tensor(answers(graphs("pair", None)[1], batch) + np.float32(0.5))
    optimizer = paddle.optimizer.AdamW(1e-3, parameters=net.parameters(), weight_decay=0.0)
    losses = []
    for _ in range(25):
        loss = ((net(paddle.to_tensor(batch)) - teacher) ** 2).mean()
        loss.backward()
        assert all(p.grad is not None for p in net.parameters())
        optimizer.step()
        optimizer.clear_grad()
        losses.append(float(loss))
    assert min(losses[-5:]) < 0.5 * losses[0]
    trained = net.to_onnx()
    changed = {
        name
        for name, value in onnx_tensors(trained).items()
        if not np.array_equal(value, onnx_tensors(model)[name])
    }
    assert "backbone.stem.0.conv.weight_quantized" in changed
    assert "backbone.fc.bias" in changed
    assert any(name.endswith("_scale") and "weight" not in name for name in changed)
    assert "pixels.offset" not in changed
    assert [node.op_type for node in trained.graph.node] == [n.op_type for n in model.graph.node]
    expected = answers(trained, batch, exact=True)
    assert np.abs(learned(net, batch) - expected).max() <= 0.05 * np.abs(expected).max()


def test_pairs_around_a_move_keep_one_step(graphs: Callable[..., Any], batch: np.ndarray) -> None:
    floats, model = graphs("pair", "uint8")
    net = GraphNet(model, floats)
    for parameter in net.parameters():
        parameter.set_value(parameter + 0.01)
    tensors = onnx_tensors(net.to_onnx())
    made_by = {name: node for node in model.graph.node for name in node.output}
    moves = [node for node in model.graph.node if node.op_type == "Slice"]
    assert moves
    for node in moves:
        source = made_by[node.input[0]]
        after = next(n for n in model.graph.node if node.output[0] in n.input)
        assert tensors[source.input[1]] == tensors[after.input[1]]


def test_an_unknown_operator_is_named(graphs: Callable[..., Any]) -> None:
    floats, model = graphs("pair", None)
    model.graph.node[-1].op_type = "Celu"
    with pytest.raises(ConversionError, match=r"Celu"):
        GraphNet(model, floats)


@pytest.fixture(scope="module")
def tuned(
    experiment: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Any, Path, dict[str, Any]]:
    """An experiment, the folder of its finished fine-tune, and its record."""
    made = experiment("pair")
    folder = tmp_path_factory.mktemp("qat")
    record = fine_tune(settings_of(made, folder / "run"), made.checkpoint)
    return made, folder / "run", record


def settings_of(made: Any, output: Path, **changes: Any) -> Any:
    file = output.with_name(f"{output.name}.yaml")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump({**SETTINGS, **changes}))
    overrides = [f"output_dir={json.dumps(str(output))}", "DATASET.batch_size=3"]
    return load_config(made.config, overrides, over=file)


def test_a_bundle_takes_the_trained_graphs(
    tuned: tuple[Any, Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, folder, record = tuned
    assert set(record["trained"]) == {"int8", "uint8"}
    assert record["trained"]["int8"]["epochs"] == 2
    options = replace(QUICK, qat=folder, calibration_clips=128)
    monkeypatch.setattr("export.clips.selection.calibration", None)  # no clip is read for ranges
    export_bundle(made.cfg, made.checkpoint, tmp_path / "bundle", options=options)
    bundle = Bundle.load(tmp_path / "bundle")
    for key, kind in (("onnx.int8", "int8"), ("onnx.int8.x86", "uint8")):
        file = bundle.artifact(key).paths[0]
        assert sha256_of(file) == sha256_of(folder / kind / "trained.onnx")
        assert file.read_bytes() != (folder / kind / "start.onnx").read_bytes()
        entry = bundle.raw["artifacts"][key]["quantization"]
        assert entry["method"] == "quantisation-aware training"
        assert entry["training"]["steps"] == 4
        assert "seconds" not in entry["training"]  # they would differ from one to the next
        assert len(entry["calibration"]["list_sha256"]) == 64
    clips = np.zeros((2, 4, 32, 32, 3), np.uint8)
    with open_runtime(bundle, backend="onnxruntime", precision="int8", threads=1) as runtime:
        assert runtime.run(clips).shape == (2, 5)


def test_what_was_trained_says_what_the_bundle_says(tmp_path: Path) -> None:
    """A fine-tune from before files said anything, or with other names, and one with these."""
    node = onnx.helper.make_node("Identity", ["clip"], ["logits"])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [], []))
    wanted = {"clipduet.classes": '["a", "b"]'}
    for said in ({}, {"clipduet.classes": '["b", "a"]'}, wanted):
        onnx.helper.set_model_props(model, said)
        onnx.save(model, str(tmp_path / "trained.onnx"))
        before = (tmp_path / "trained.onnx").read_bytes()
        record = {
            "trained": {"int8": {"path": tmp_path / "trained.onnx"}},
            "calibrator": "minmax",
            "calibration": {},
        }
        copy_trained(record, tmp_path / "b.onnx", activations="int8", metadata=wanted)
        assert read_onnx_file(tmp_path / "b.onnx").metadata == wanted
        assert (tmp_path / "trained.onnx").read_bytes() == before
    assert (tmp_path / "b.onnx").read_bytes() == before


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--calibrator", "minmax"], "--calibrator "),
        (["--calibration-clips", "9"], "--calibration-clips "),
        (
            ["--keep-float", "backbone", "--reduce-range"],
            "--keep-float, --reduce-range ",
        ),
        (["--no-int8"], "--qat is about 8-bit files"),
    ],
)
def test_options_of_calibration_are_refused_where_all_was_trained(
    tuned: tuple[Any, Path, dict[str, Any]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
    said: str,
) -> None:
    made, folder, _ = tuned
    command = ["--checkpoint", str(made.checkpoint), "-c", str(made.config), "--qat", str(folder)]
    assert export_command([*command, "--out", str(tmp_path / "bundle"), *options]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "bundle").exists()


def test_a_kind_that_was_not_trained_is_calibrated_as_the_options_say(
    tuned: tuple[Any, Path, dict[str, Any]], tmp_path: Path
) -> None:
    made, folder, record = tuned
    only = {**record, "trained": {"uint8": record["trained"]["uint8"]}}
    (tmp_path / "qat").mkdir()
    (tmp_path / "qat" / "qat.json").write_text(json.dumps(only))
    (tmp_path / "qat" / "uint8").symlink_to(folder / "uint8")
    options = replace(QUICK, qat=tmp_path / "qat", calibrator="minmax", reduce_range=True)
    export_bundle(made.cfg, made.checkpoint, tmp_path / "bundle", options=options)
    artifacts = Bundle.load(tmp_path / "bundle").raw["artifacts"]
    told = artifacts["onnx.int8"]["quantization"]
    assert (told["method"], told["calibrator"]) == ("post-training", "minmax")
    assert told["reduce_range"] is True
    trained = artifacts["onnx.int8.x86"]["quantization"]
    assert trained["method"] == "quantisation-aware training"


def test_a_finished_fine_tune_is_found_again_and_another_is_refused(
    tuned: tuple[Any, Path, dict[str, Any]],
) -> None:
    made, folder, record = tuned
    before = {path: path.read_bytes() for path in folder.rglob("*.onnx")}
    again = fine_tune(settings_of(made, folder), made.checkpoint, resume=True)
    assert again["trained"]["int8"]["sha256"] == record["trained"]["int8"]["sha256"]
    assert {path: path.read_bytes() for path in folder.rglob("*.onnx")} == before
    with pytest.raises(QatError, match="add --resume"):
        fine_tune(settings_of(made, folder), made.checkpoint)
    other = settings_of(made, folder, QAT={"calibration_clips": 3})
    with pytest.raises(QatError, match="calibration_clips differ"):
        fine_tune(other, made.checkpoint, resume=True)


def test_a_stopped_fine_tune_goes_on_to_the_same_end(
    tuned: tuple[Any, Path, dict[str, Any]], tmp_path: Path
) -> None:
    made, folder, _ = tuned
    calls = iter([False, True])
    cfg = settings_of(made, tmp_path / "run")
    with pytest.raises(KeyboardInterrupt):
        fine_tune(
            cfg, made.checkpoint, activations=["int8"], should_stop=lambda: next(calls, False)
        )
    assert not (tmp_path / "run/qat.json").exists()
    with pytest.raises(QatError, match="no finished fine-tune"):
        load_trained(tmp_path / "run", checkpoint_sha256=sha256_of(made.checkpoint))
    fine_tune(cfg, made.checkpoint, activations=["int8"], resume=True)
    one, other = (
        onnx_tensors(onnx.load(str(f / "int8/trained.onnx"))) for f in (folder, tmp_path / "run")
    )
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name], err_msg=name)


def test_a_fine_tune_of_another_checkpoint_is_refused(
    tuned: tuple[Any, Path, dict[str, Any]], tmp_path: Path
) -> None:
    made, folder, _ = tuned
    other = tmp_path / "best.pdparams"
    state = paddle.load(str(made.checkpoint))
    key = next(iter(state))
    state[key] = state[key] * 2
    paddle.save(state, str(other))
    options = replace(QUICK, qat=folder)
    with pytest.raises(QatError, match="its SHA-256 differs"):
        export_bundle(made.cfg, other, tmp_path / "bundle", options=options)
    assert not (tmp_path / "bundle").exists()


def test_a_trained_file_that_was_changed_is_refused(
    tuned: tuple[Any, Path, dict[str, Any]], tmp_path: Path
) -> None:
    _, folder, record = tuned
    (tmp_path / "int8").mkdir()
    (tmp_path / "uint8").mkdir()
    for kind in ("int8", "uint8"):
        data = (folder / kind / "trained.onnx").read_bytes()
        (tmp_path / kind / "trained.onnx").write_bytes(data + b"\0")
    (tmp_path / "qat.json").write_text((folder / "qat.json").read_text())
    with pytest.raises(QatError, match="not the file"):
        load_trained(tmp_path, checkpoint_sha256=record["checkpoint_sha256"])


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[]", "{}", '{"format": "clipduet-qat"}', None],
    ids=["empty", "no JSON", "a list", "nothing in it", "half of it", "half a kind"],
)
def test_a_damaged_record_is_said(
    text: str | None, tuned: tuple[Any, Path, dict[str, Any]], tmp_path: Path
) -> None:
    made, folder, record = tuned
    run = tmp_path / "run"
    shutil.copytree(folder, run)
    half = {**record, "trained": {"int8": {"file": "int8/trained.onnx"}}}
    (run / "qat.json").write_text(json.dumps(half, default=str) if text is None else text)
    for read in (
        lambda: load_trained(run, checkpoint_sha256=record["checkpoint_sha256"]),
        lambda: fine_tune(settings_of(made, run), made.checkpoint, resume=True),
    ):
        with pytest.raises(QatError, match=r"qat\.json"):
            read()
    if text is not None:
        (run / "start.json").write_text(text)
        with pytest.raises(QatError, match=r"start\.json"):
            fine_tune(settings_of(made, run), made.checkpoint, resume=True)


def test_weights_of_another_network_are_no_fine_tune() -> None:
    rng = np.random.default_rng(0)
    own = {"a.weight": rng.normal(size=(4, 3, 1, 1)).astype(np.float32)}

    def rounded(value: np.ndarray) -> dict[str, np.ndarray]:
        step = np.abs(value).max(axis=(1, 2, 3)) / 127
        steps = np.rint(value / step[:, None, None, None]).astype(np.int8)
        return {"a.weight_quantized": steps, "a.weight_scale": step.astype(np.float32)}

    check_trained_origin("x", rounded(own["a.weight"] * 1.1), own)
    with pytest.raises(VerificationError, match=r"away from a\.weight(.|\n)*learning_rate"):
        check_trained_origin("x", rounded(rng.normal(size=(4, 3, 1, 1))), own)


def test_mixed_clips_are_refused(experiment: Callable[..., Any], tmp_path: Path) -> None:
    made = experiment("single")
    cfg = settings_of(made, tmp_path / "run", MIX={"name": "Mixup", "alpha": 0.2})
    with pytest.raises(QatError, match="set MIX: null"):
        fine_tune(cfg, made.checkpoint)


def test_the_command(
    experiment: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = experiment("single")
    file = tmp_path / "qat.yaml"
    file.write_text(yaml.safe_dump({**SETTINGS, "epochs": 1}))
    command = [
        "--checkpoint",
        str(made.checkpoint),
        "--qat",
        str(file),
        "--out",
        str(tmp_path / "q"),
    ]
    assert qat.main(command) == 2
    assert "name the config" in capsys.readouterr().err
    command += ["-c", str(made.config), "--override", "DATASET.batch_size=3"]
    assert qat.main([*command, "--activations", "int8"]) == 0
    assert "validation top-1" in capsys.readouterr().out
    assert (tmp_path / "q/int8/trained.onnx").is_file()
    assert not (tmp_path / "q/uint8/trained.onnx").exists()
    assert qat.main([*command, "--activations", "int8"]) == 2
    assert "--resume" in capsys.readouterr().err
