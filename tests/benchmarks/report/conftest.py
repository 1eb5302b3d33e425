"""A report of invented results."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common.result_file import dump
from benchmarks.report.__main__ import main


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write results (and a study) and make the report of them; returns its folder."""
    monkeypatch.chdir(tmp_path)  # no study of the checkout is picked up

    def make(results: dict[str, Any], study: dict[str, Any] | None = None) -> Path:
        (tmp_path / "in.json").write_text(dump(results), encoding="utf-8")
        arguments = [str(tmp_path / "in.json"), "--out", str(tmp_path / "out")]
        if study is not None:
            (tmp_path / "study.json").write_text(dump(study), encoding="utf-8")
            arguments += ["--study", str(tmp_path / "study.json")]
        assert main(arguments) == 0
        return tmp_path / "out"

    return make
