"""The command on sets whose studies and gates are invented: how it is called, what it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.common.result_file import read
from benchmarks.real.pooled import FORMAT, FORMAT_VERSION

Steps = list[tuple[Any, dict[str, str]]]
"""The options of each study and gate that was called, and its environment."""


def result_of(out: Path) -> dict[str, Any]:
    return read(out / "results.json", format=FORMAT, versions=(FORMAT_VERSION,), made_by="this")


def common(folder: Path) -> list[str]:
    where = ["--root", str(folder), "--runs", str(folder / "runs")]
    return [*where, "--folds", "2", "--resamples", "200"]
