"""What the driver of a corpus needs for each input: memory for names, time to write rows."""

from __future__ import annotations

import tempfile
import time
import tracemalloc
from pathlib import Path
from typing import Any

from infer.corpus.parts import PART_ROWS, Parts, row_of
from infer.corpus.sources import named_videos
from infer.pipeline.predictions import Prediction
from infer.pipeline.rank import Ranked

NAMES = 20_000
"""Inputs whose memory is measured; it grows with their number."""


def limits() -> dict[str, Any]:
    """Bytes of memory for a name, and rows a second that are written."""
    with tempfile.TemporaryDirectory() as folder:
        return {
            "bytes_per_input": _bytes_per_input(Path(folder) / "names.list"),
            "rows_written_per_second": _rows_per_second(Path(folder) / "answers"),
        }


def _bytes_per_input(file: Path) -> int:
    names = (f"s3://bucket/videos/2026/{number:09}.mp4 0\n" for number in range(NAMES))
    file.write_text("".join(names))
    tracemalloc.start()
    try:
        source = named_videos([], [str(file)], None)
        left = set(source.names)
        held = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(left) == NAMES
    return round(held / NAMES)


def _rows_per_second(folder: Path) -> int:
    topk = tuple(Ranked(f"class {number}", number, 1 / (number + 2)) for number in range(5))
    one = Prediction(Path("a.mp4"), topk, 0.1)
    rows = [row_of(f"{number:09}.mp4", one, "0" * 64) for number in range(PART_ROWS)]
    with Parts(str(folder), "parquet", seconds=1e6) as parts:
        begin = time.perf_counter()
        parts.add(rows)
        return round(len(rows) / (time.perf_counter() - begin))
