"""All files of one checkpoint's bundle are the same to the byte, whoever makes them and when."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest

from export.assemble.bundle import ExportOptions, export_bundle
from export.assemble.describe import ExportError
from tests.trees import tree

FIXED = "1700000000"


def test_two_exports_are_equal_to_the_byte(
    exported: Callable[..., Any], tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In two processes whose sets have other orders, and in one that has exported before."""
    made = exported("attention").experiment
    command = [sys.executable, "-m", "export", "--checkpoint", str(made.checkpoint)]
    command += ["-c", str(made.config), "--max-batch", "2", "--calibration-clips", "3"]
    command += ["--threads", "1", "--out"]
    running = [
        subprocess.Popen(
            [*command, str(tmp_path / seed / "b")],
            cwd=root,
            env={**os.environ, "PYTHONHASHSEED": seed, "SOURCE_DATE_EPOCH": FIXED},
            stdout=subprocess.DEVNULL,
        )
        for seed in ("1", "2")
    ]
    monkeypatch.setenv("SOURCE_DATE_EPOCH", FIXED)
    export_bundle(
        made.cfg,
        made.checkpoint,
        tmp_path / "3" / "b",
        options=ExportOptions(max_batch=2, calibration_clips=3, threads=1),
    )
    assert [process.wait() for process in running] == [0, 0]
    first, second, third = (tree(tmp_path / name / "b") for name in ("1", "2", "3"))
    assert len(first) == 8  # bundle.json, four ONNX files, two of Paddle, known clips
    for other in (second, third):
        assert other.keys() == first.keys()
        assert [name for name, content in first.items() if content != other[name]] == []


def test_all_that_differs_is_the_time_unless_it_is_given(
    exported: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = exported("single").experiment
    options = ExportOptions(max_batch=1, fp16=False, int8=(), threads=1, workers=0)

    def created() -> str:
        folder = export_bundle(made.cfg, made.checkpoint, tmp_path / "b", options=options)
        return str(json.loads((folder / "bundle.json").read_text())["origin"]["created"])

    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    before = datetime.now(timezone.utc).replace(microsecond=0)
    assert before <= datetime.fromisoformat(created()) <= datetime.now(timezone.utc)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", FIXED)
    assert created() == "2023-11-14T22:13:20+00:00"
    for wrong in ("yesterday", "1e9", "9" * 30):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", wrong)
        with pytest.raises(ExportError, match="SOURCE_DATE_EPOCH"):
            created()
