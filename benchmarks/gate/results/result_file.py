"""The gate's result file, checked against the answers that it holds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.common.result_file import complete, read
from benchmarks.gate.results.check import verify
from benchmarks.gate.results.upgrade import EARLIER, upgraded
from infer.system.log import logger

log = logger("benchmarks.gate")

FORMAT = "clipduet-benchmark"
FORMAT_VERSION = 5


def load_results(path: Path) -> dict[str, Any]:
    """Read a result file; an old one comes in the form of today.

    Raises:
        BenchmarkError: missing, not JSON, another format, or figures that its clips contradict.
    """
    value = read(path, format=FORMAT, versions=(*EARLIER, FORMAT_VERSION), made_by="make benchmark")
    with complete(path):
        if value["format_version"] != FORMAT_VERSION:
            log.info(f"{path} is of an earlier version: computing its figures from its answers")
            value = upgraded(value, path) | {"format_version": FORMAT_VERSION}
        verify(value, path)
    return value
