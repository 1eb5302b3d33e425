"""The study's result file, checked against the answers that it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.common.result_file import complete, read
from benchmarks.study.pooled import verify

FORMAT = "clipduet-study"
FORMAT_VERSION = 3


def load_study(path: Path) -> dict[str, Any]:
    """Read a result file of a study.

    Raises:
        BenchmarkError: missing, not JSON, another format, or figures that its clips contradict.
    """
    value = read(path, format=FORMAT, versions=(FORMAT_VERSION,), made_by="make study")
    with complete(path):
        verify(value, path)
    return value
