"""The result as a table of plain numbers: a line a deployment, with what makes them comparable."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.timing.stages import STAGES, TOTAL

PERCENTILES = ("p50", "p90", "p99")
HEADS = (
    "cell", "verdict", "clips", "pairs", "baseline_top1", "student_top1", "gain", "gain_low",
    "gain_high", "mcnemar_p", "share_left", "share_left_low", "share_left_high",
    "student_change", "student_change_low", "student_change_high", "clips_needed",
    "student_agreement", "student_max_logit_difference", "student_bytes",
    *(f"{stage}_{key}_seconds" for stage in (*STAGES, TOTAL) for key in PERCENTILES),
    "clips_per_second", "batch", "memory_bytes", "threads", "cpu", "cores", "list_sha256", "date",
    "clips_needed_low", "clips_needed_high",
)  # fmt: skip


def as_csv(results: Mapping[str, Any]) -> str:
    """One line a deployment, seconds and shares; empty where there is no figure."""
    file = io.StringIO()
    writer = csv.DictWriter(file, HEADS, lineterminator="\n")
    writer.writeheader()
    speed = results["speed"]
    timed = {row["cell"]: row for row in speed["cells"]} if speed else {}
    memory = {row["cell"]: row["bytes"] for row in speed["memory"]} if speed else {}
    given = results["conditions"]
    common = {
        "pairs": len(results["pairs"]),
        "threads": given["threads"],
        "cpu": given["machine"]["cpu"],
        "cores": given["machine"]["cores"],
        "list_sha256": results["data"]["sha256"],
        "date": results["created"],
    }
    for row in results["cells"]:
        found, student = row["verdict"], row["student"]
        share = row["gain_left"]["share"] if row["gain_left"]["meaningful"] else None
        line: dict[str, Any] = {
            "cell": row["cell"],
            "verdict": found["verdict"],
            "clips": row["gain"]["clips"],
            "baseline_top1": row["baseline"]["top1"]["point"],
            "student_top1": student["top1"]["point"],
            **_spread("gain", row["gain"]),
            "mcnemar_p": row["gain"]["p"],
            **_spread("share_left", share),
            **_spread("student_change", found.get("change")),
            "clips_needed": found["clips_needed"],
            **_ends("clips_needed", found["clips_range"]),
            "student_agreement": student["agreement"],
            "student_max_logit_difference": student["max_logit_difference"],
            "student_bytes": student["bytes"],
            "memory_bytes": memory.get(row["cell"]),
            **common,
        }
        if row["cell"] in timed:
            stages = timed[row["cell"]]["stages"]
            line |= {
                f"{stage}_{key}_seconds": stages[stage][key]
                for stage in (*STAGES, TOTAL)
                for key in PERCENTILES
            }
            line["clips_per_second"] = timed[row["cell"]]["throughput"]["clips_per_second"]
            line["batch"] = given["batch"]
        writer.writerow({key: _short(value) for key, value in line.items()})
    for one in results["broken"]:
        writer.writerow({"cell": one["cell"], "verdict": "fail", **common})
    return file.getvalue()


def _spread(name: str, value: Mapping[str, Any] | None) -> dict[str, Any]:
    if value is None:
        return {}
    return {name: value["point"], f"{name}_low": value["low"], f"{name}_high": value["high"]}


def _ends(name: str, needed: Sequence[int | None] | None) -> dict[str, Any]:
    low, high = needed or (None, None)
    return {f"{name}_low": low, f"{name}_high": high}


def _short(value: Any) -> Any:
    return f"{value:.6g}" if isinstance(value, float) else value
