"""The command of the export: options, exit status, messages."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
import pytest

import export.assemble.bundle
import export.network.convert
from export.__main__ import main
from export.assemble.bundle import ExportOptions, export_bundle
from export.assemble.describe import ExportError, has_origin
from export.option_limits import OptionError
from infer.bundle.bundle import Bundle
from tests.export.assemble.wrong_weights import wrong_weights
from tests.export.conftest import QUICK
from train.config.identity import deployed


def test_weights_of_the_checkout_say_where_they_come_from(tmp_path: Path) -> None:
    folder = Path(__file__).parents[3] / "configs/pretrained"
    ready = folder / "motions_student.pdparams"
    assert has_origin(ready)
    (tmp_path / ready.name).write_bytes(b"other weights")
    assert not has_origin(tmp_path / ready.name)
    (tmp_path / "motions_student.json").write_bytes(ready.with_suffix(".json").read_bytes())
    assert not has_origin(tmp_path / ready.name)


def test_options_out_of_range() -> None:
    for name in ("max_batch", "calibration_clips", "threads"):
        with pytest.raises(OptionError, match=f"{name.replace('_', '-')} is 0; allowed: 1 "):
            ExportOptions(**{name: 0})


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("PIPELINE.valid.sample.num_seg", 99),
        ("MODEL.backbone.dropout_prob", 0.9),
        ("classes.0", "another"),
    ],
)
@pytest.mark.parametrize("record", ["best.json", "latest.ckpt"])
def test_other_settings_than_the_runs_are_refused_before_any_work(
    exported: Callable[..., Any],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    path: str,
    value: Any,
    record: str,
) -> None:
    made = exported("pair").experiment
    settings = deployed(made.cfg)
    *parents, last = path.split(".")
    block: Any = settings
    for name in parents:
        block = block[name]
    block[int(last) if last.isdigit() else last] = value
    weights = paddle.load(str(made.checkpoint))
    if record == "best.json":
        checkpoint = tmp_path / "best.pdparams"
        paddle.save(weights, str(checkpoint))
        (tmp_path / record).write_text(json.dumps({"settings": settings}))
    else:
        checkpoint = tmp_path / record
        progress = {"epoch": 1, "settings": settings}
        paddle.save({"format": 1, "model": weights, "progress": progress}, str(checkpoint))
    caplog.set_level("INFO", "clipduet")
    caplog.clear()
    with pytest.raises(ExportError, match=rf"{path}: it was {value!r}"):
        export_bundle(made.cfg, checkpoint, tmp_path / "bundle", options=QUICK)
    told = [one.getMessage() for one in caplog.records if one.name.startswith("clipduet")]
    assert [line.split()[0] for line in told] == ["strip"]
    assert not (tmp_path / "bundle").exists()


def test_the_command_makes_a_bundle(
    experiment: Callable[..., Any], tmp_path: Path, root: Path
) -> None:
    made = experiment("pair")
    command = [sys.executable, "-m", "export", "--checkpoint", str(made.checkpoint.parent)]
    command += ["-c", str(made.config), "--out", str(tmp_path / "b"), "--override", "seed=5"]
    command += ["--max-batch", "2", "--calibration-clips", "2", "--threads", "1"]
    command += ["--calibrator", "entropy", "--reduce-range"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    steps = [line.split()[0] for line in done.stdout.splitlines()]
    assert steps == [
        *(
            "strip",
            "note",
            "accuracy",
            "scores",
            "fuse",
            "onnx",
            "fp16",
            "int8",
            "int8",
            "paddle",
            "origin",
        ),
        *("parity", "accuracy", "parity", "accuracy", "accuracy", "accuracy", "parity", "accuracy"),
        "done",
    ]
    assert done.stderr == ""
    made_of = Bundle.load(tmp_path / "b").raw
    assert made_of["origin"]["seed"] == 5
    told = made_of["artifacts"]["onnx.int8"]["quantization"]
    assert (told["activations"], told["calibrator"]) == ("int8", "entropy")
    assert told["reduce_range"] is True


def test_mistakes_end_with_2_and_a_message(
    experiment: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made, other = experiment("pair"), experiment("single")
    good = ["--checkpoint", str(made.checkpoint), "-c", str(made.config)]
    target = ["--out", str(tmp_path / "b")]
    for arguments, words in (
        (
            ["--checkpoint", str(other.checkpoint), "-c", str(made.config)],
            "one network (Recognizer2D)",
        ),
        (["--checkpoint", str(tmp_path / "no.pdparams"), "-c", str(made.config)], "no checkpoint"),
        (["--checkpoint", str(tmp_path / "no.pdparams")], "no.pdparams; a run leaves best"),
        (["--checkpoint", str(made.config), "-c", str(made.config)], "is a config"),
        (["--checkpoint", str(made.config)], "is a config"),
        (["--checkpoint", str(tmp_path)], "is a folder without best.pdparams"),
        (["--checkpoint", str(made.checkpoint), "-c", str(tmp_path / "no.yaml")], "no.yaml"),
        ([*good, "--override", "DATASET.valid.file_path=no.list"], "no.list"),
        ([*good, "--override", "DATASET.classes=[a, b]"], "classes"),
        ([*good, "--max-batch", "0"], "max-batch is 0"),
        ([*good, "--int8-most", "0.5"], "--int8-most needs --int8-goal"),
        ([*good, "--int8-goal", "1", "--int8-most", "-1"], "int8-most is -1.0; allowed: 0 to 1"),
    ):
        assert main([*arguments, *target]) == 2, arguments
        captured = capsys.readouterr()
        assert captured.err.startswith("error: "), captured.err
        assert words in captured.err
        assert "Traceback" not in captured.err
    assert not list(tmp_path.iterdir())


def test_a_failed_verification_ends_with_1(
    experiment: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = experiment("single")
    monkeypatch.setattr(export.assemble.bundle, "fuse", wrong_weights)
    arguments = ["--checkpoint", str(made.checkpoint), "-c", str(made.config), "--threads", "1"]
    assert main([*arguments, "--out", str(tmp_path / "b"), "--no-int8"]) == 1
    said = capsys.readouterr().err
    assert "fused network" in said
    assert "No bundle" in said
    assert not list(tmp_path.iterdir())
