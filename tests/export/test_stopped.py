"""Commands of export/ that are told to end: real signals, their exit statuses, nothing left."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from export import sensitivity
from export.clips import selection
from export.triton import __main__ as triton
from infer.bundle.bundle import Bundle
from train.checkpoints.checkpoint import LATEST

SIGNALS = [signal.SIGTERM, signal.SIGHUP]


def start(module: str, arguments: list[str], *, root: Path, scratch: Path) -> Any:
    """A command whose temporary files lie in ``scratch``."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        cwd=root,
        env={**os.environ, "TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize(
    ("number", "after"),
    [(signal.SIGINT, "accuracy"), (signal.SIGTERM, "onnx"), (signal.SIGHUP, "origin")],
)
def test_an_export_that_is_stopped_leaves_the_bundle_that_was_there(
    number: signal.Signals,
    after: str,
    exported: Callable[..., Any],
    tmp_path: Path,
    root: Path,
) -> None:
    made, scratch = exported("single"), tmp_path / "scratch"
    bundle = Path(shutil.copytree(made.folder, tmp_path / "out" / "bundle"))
    before = (bundle / "bundle.json").read_bytes()
    scratch.mkdir()
    source = made.experiment
    arguments = ["--checkpoint", str(source.checkpoint), "-c", str(source.config)]
    arguments += ["--out", str(bundle), "--threads", "1", "--max-batch", "5"]
    process = start("export", arguments, root=root, scratch=scratch)
    for line in process.stdout:
        if line.startswith(after):
            break
    process.send_signal(number)
    process.send_signal(number)  # `timeout` sends it twice
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + number, errors
    assert "no bundle" in errors and "Traceback" not in errors
    assert [path.name for path in bundle.parent.iterdir()] == ["bundle"]
    assert (bundle / "bundle.json").read_bytes() == before
    Bundle.load(bundle).artifact("onnx.fp32")
    assert not list(scratch.iterdir())


def test_a_fine_tune_that_is_stopped_keeps_its_checkpoint(
    experiment: Callable[..., Any], tmp_path: Path, root: Path
) -> None:
    made, folder, scratch = experiment("single"), tmp_path / "qat", tmp_path / "scratch"
    scratch.mkdir()
    settings = tmp_path / "qat.yaml"
    settings.write_text(
        yaml.safe_dump(
            {
                "epochs": 500,
                "checkpoint_every_steps": 1,
                "DATASET": {"batch_size": 2},
                "QAT": {"calibration_clips": 2},
            }
        )
    )
    arguments = ["--checkpoint", str(made.checkpoint), "-c", str(made.config)]
    arguments += ["--qat", str(settings), "--out", str(folder), "--activations", "int8"]
    process = start("export.qat", arguments, root=root, scratch=scratch)
    while process.poll() is None and not (folder / "int8" / LATEST).exists():
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, errors
    assert "--resume goes on" in errors and "Traceback" not in errors
    assert not list(folder.rglob(".*"))
    assert not list(scratch.iterdir())


@pytest.mark.parametrize("number", SIGNALS)
def test_a_ranking_that_is_stopped_says_so(
    number: signal.Signals,
    exported: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    made, out = exported("single"), tmp_path / "found.json"
    before = signal.getsignal(number)
    monkeypatch.setattr(selection, "calibration", lambda *_, **__: signal.raise_signal(number))
    arguments = ["--bundle", str(made.folder), "-c", str(made.experiment.config)]
    assert sensitivity.main([*arguments, "--out", str(out)]) == 128 + number
    assert "stopped" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert signal.getsignal(number) == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_repository_that_is_stopped_is_not_there(
    number: signal.Signals,
    exported: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(triton, "_write_model", lambda *_: signal.raise_signal(number))
    arguments = ["--bundle", str(exported("single").folder), "--out", str(tmp_path / "triton")]
    assert triton.main(arguments) == 128 + number
    assert "no repository" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
