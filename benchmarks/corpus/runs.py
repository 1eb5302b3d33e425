"""Runs of `clipduet corpus` and of `predict` over the same videos, and what came of them."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.common.errors import BenchmarkError
from benchmarks.corpus.nodes import kill_worker, on_cores
from infer.pipeline.predictions import Prediction

_LOOKED = 0.05
"""Seconds between two looks at the output."""


@dataclass(frozen=True)
class Run:
    """One run: seconds from start to end, clips a second after the start, exit status."""

    seconds: float
    clips_per_second: float
    status: int


def predicted(
    bundle: Path, paths: Sequence[Path], cores: Sequence[int]
) -> tuple[list[Prediction], float]:
    """The answers of plain predict on these cores, and how many a second."""
    from infer.api import load

    with on_cores(cores), load(bundle, backend="onnxruntime", threads=len(cores)) as model:
        begin = time.perf_counter()
        answers = list(model.predict(paths, workers=len(cores)))
        return answers, len(paths) / (time.perf_counter() - begin)


@contextlib.contextmanager
def driver(
    bundle: Path, videos: Path, output: Path, address: str, *options: str
) -> Iterator[subprocess.Popen[str]]:
    """The command as a process."""
    command = [sys.executable, "-m", "infer", "corpus", "--bundle", str(bundle)]
    command += ["--video", str(videos), "--output", str(output), "--address", address]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def finished(process: subprocess.Popen[str], begin: float) -> Run:
    """Wait for the end of the command.

    Raises:
        BenchmarkError: it failed.
    """
    said = process.communicate()[1]
    found = re.search(r"([\d.]+) clips/s", said)
    if process.returncode not in (0, 1) or found is None:
        raise BenchmarkError(f"corpus ended with {process.returncode}: {said.strip()[-2000:]}")
    return Run(time.perf_counter() - begin, float(found[1]), process.returncode)


def timed(bundle: Path, videos: Path, output: Path, address: str, workers: int) -> Run:
    """A run that nothing disturbs."""
    begin = time.perf_counter()
    options = ["--decoders", str(workers), "--actors", str(workers)]
    with driver(bundle, videos, output, address, *options) as process:
        return finished(process, begin)


def disturbed(
    bundle: Path,
    videos: Path,
    output: Path,
    address: str,
    *,
    total: int,
    block: int,
    dice: random.Random,
) -> dict[str, Any]:
    """A run with a worker killed after a quarter, its driver after half, and its second part.

    Raises:
        BenchmarkError: it ended before anything could be killed.
    """
    lost, rows, written = None, 0, 0
    often = ["--flush", "0.2", "--decoders", "2", "--actors", "2", "--block", str(block)]
    with driver(bundle, videos, output, address, *often) as process:
        while lost is None or written < total // 2:
            if process.poll() is not None:
                said = process.communicate()[1].strip()[-2000:]
                raise BenchmarkError(f"the run ended before its driver was killed: {said}")
            written = count_rows(output)
            if lost is None and written >= total // 4:
                rows, lost = written, kill_worker(dice)
            time.sleep(_LOOKED)
        process.send_signal(signal.SIGKILL)
        process.wait()
    written = count_rows(output)
    begin = time.perf_counter()
    with driver(bundle, videos, output, address, *often) as process:
        run = finished(process, begin)
    return {
        "killed_worker": lost,
        "answers_before_worker": rows,
        "answers_before_driver": written,
        "status": run.status,
    }


def count_rows(output: Path) -> int:
    """How many rows the output has now."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(part).num_rows for part in output.glob("part-*"))


def rows_of(output: Path) -> list[dict[str, Any]]:
    """What is in the output now."""
    import pyarrow.parquet as pq

    return [row for part in output.glob("part-*") for row in pq.read_table(part).to_pylist()]


def verdict(output: Path, expected: Mapping[str, Prediction], sha256: str) -> dict[str, Any]:
    """Whether each input was answered once, and as predict does it, to the bit."""
    rows = rows_of(output)
    counts = Counter(row["video"] for row in rows)
    wrong = sorted(
        row["video"] for row in rows
        if row["video"] in expected and not _same(row, expected[row["video"]], sha256)
    )  # fmt: skip
    return {
        "inputs": len(expected),
        "rows": len(rows),
        "errors": sum(row["error"] is not None for row in rows),
        "missing": sorted(expected.keys() - counts.keys()),
        "more_than_once": sorted(name for name, count in counts.items() if count > 1),
        "unknown": sorted(counts.keys() - expected.keys()),
        "unlike_predict": wrong,
    }


def _same(row: Mapping[str, Any], one: Prediction, sha256: str) -> bool:
    topk = [{"label": r.label, "index": r.index, "score": r.score} for r in one.topk]
    found = [row[name] for name in ("topk", "error", "warning", "bundle")]
    return found == [topk, one.error, one.warning, sha256]


def cores_here() -> list[int]:
    """The cores of this process."""
    return sorted(os.sched_getaffinity(0))
