"""An 8-bit file that this processor computes wrong: the bundle is whole, and export warns."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from export.assemble import known_answers
from export.assemble.bundle import export_bundle
from infer.bundle.bundle import Bundle
from infer.runtimes.known_answers import AnswersDiffer
from infer.runtimes.open import open_runtime
from tests.export.conftest import QUICK


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_file_that_would_be_refused_here_is_told(
    share: float,
    experiment: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    exact = known_answers._as_written

    def moved(file: Path, clips: np.ndarray, threads: int | None) -> np.ndarray:
        """As if this processor's sums were so much smaller."""
        found = exact(file, clips, threads)
        return found if "int8" not in file.name else found / (1 - share)

    monkeypatch.setenv("CLIPDUET_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(known_answers, "_as_written", moved)
    monkeypatch.setattr(known_answers, "ROUNDINGS", 0)
    monkeypatch.setattr(known_answers, "LEAST_LIMIT", 0.4)
    made = experiment("single")
    with caplog.at_level(logging.WARNING, "clipduet"):
        folder = export_bundle(made.cfg, made.checkpoint, tmp_path / "bundle", options=QUICK)
    told = [record.getMessage() for record in caplog.records if "int8" in record.getMessage()]
    bundle = Bundle.load(folder)
    assert "onnx.int8.x86" in bundle.artifacts
    if not share:
        assert not told
        return
    (line,) = told
    assert line.startswith("warning: ") and "model.fp32.onnx" in line
    with pytest.raises(AnswersDiffer):
        open_runtime(bundle, precision="int8")
