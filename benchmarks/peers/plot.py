"""A picture of where the time of one clip goes, there and here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.pages.charts import ChartRow, Rows
from benchmarks.pages.picture import picture


def drawn(result: Mapping[str, Any]) -> str:
    """An SVG file of a result: a bar for each way from file to label, by stages.

    Of PaddleVideo, reading and preprocessing are one stage: its code does both at once.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    rows = []
    for name, row in result["latency"].items():
        ms = {stage: 1000 * one["p50"] for stage, one in row["stages"].items()}
        reading = ms.get("read", ms["prepare"])
        text = f"{ms['total']:.0f} ms"
        if "times_as_fast" in row:
            text += f", {row['times_as_fast']['ratio']:.2f} times as fast"
        parts = {
            "read": reading,
            "preprocess": ms["prepare"] - reading,
            "network": ms["network"],
            "rank": ms["rest"],
        }
        rows.append(ChartRow(name, text, parts=list(parts.items())))
    axis = "ms a clip: reading, preprocessing, network, the rest"
    return picture(Rows("From a file to a label", rows, axis))
