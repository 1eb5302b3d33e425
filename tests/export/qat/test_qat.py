"""The fine-tune for 8 bits: what it trains is what a bundle takes, of the same weights only."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import paddle
import pytest
import yaml

from export.__main__ import main as export_command
from export.assemble.bundle import export_bundle
from export.int8.files import copy_trained
from export.qat import __main__ as qat
from export.qat.__main__ import fine_tune
from export.qat.trained import QatError, load_trained
from export.verify.origin import check_trained_origin, onnx_tensors
from export.verify.parity import VerificationError
from infer.bundle.bundle import Bundle
from infer.bundle.onnx_file import read_onnx_file
from infer.runtimes.open import open_runtime
from infer.system.files import sha256_of
from tests.export.conftest import QUICK
from train.config.load import load_config

SETTINGS = {
    "epochs": 2,
    "OPTIMIZER": {"_replace_": True, "name": "AdamW", "learning_rate": 0.001},
    "QAT": {"calibration_clips": 4},
}


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
