"""The gate's outcome in a small file for programs: `summary.json` beside `results.json`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.common.result_file import beside, dump
from benchmarks.gate.verdict import FAIL, PASS, UNCLEAR, reference_row
from infer.system.files import write_text

FORMAT, FORMAT_VERSION = "clipduet-gate-summary", 1

Row = Mapping[str, Any]


def summary_path(results: Path) -> Path:
    """Where the summary of a result file lies."""
    return beside(results, "summary.json")


def write_summary(file: Path, results: Mapping[str, Any]) -> None:
    """Write the summary of a result.

    Raises:
        WriteError: the file could not be written.
    """
    write_text(file, dump(summary_record(results)))


def overall(results: Mapping[str, Any]) -> str:
    """The verdict on all deployments together.

    `fail` where one fails or a model of the reference collapsed; else `unclear` where one is
    inconclusive or there is none; else `pass`.
    """
    found = [row["verdict"]["verdict"] for row in results["cells"]]
    if FAIL in found or results["broken"] or reference_row(results)["verdict"]["collapsed"]:
        return FAIL
    return UNCLEAR if UNCLEAR in found or len(found) < 2 else PASS


def chosen_row(results: Mapping[str, Any]) -> Row | None:
    """The deployment that one would choose: of those that pass the one with the least p50 latency.

    Where nothing was timed, the smallest file. None where none passes.
    """
    latency = latencies(results)
    passed = [row for row in results["cells"] if row["verdict"]["verdict"] == PASS]
    timed = [row for row in passed if row["cell"] in latency]
    if timed:
        return min(timed, key=lambda row: latency[row["cell"]]["p50"])
    return min(passed, key=lambda row: row["student"]["bytes"], default=None)


def latencies(results: Mapping[str, Any]) -> dict[str, Mapping[str, float]]:
    """Seconds from file to label by deployment, with `p50`, `p90` and `p99`."""
    speed = results["speed"]
    return {} if speed is None else {row["cell"]: row["stages"]["total"] for row in speed["cells"]}


def summary_record(results: Mapping[str, Any]) -> dict[str, Any]:
    """What the file holds; shares from 0 to 1, seconds, bytes."""
    whole = reference_row(results)
    row, data = chosen_row(results), results["data"]
    student = results["pairs"][0]["student"]
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "created": results["created"],
        "verdict": overall(results),
        "verdicts": {
            **{one["cell"]: one["verdict"]["verdict"] for one in results["cells"]},
            **{one["cell"]: FAIL for one in results["broken"]},
        },
        "reference": results["reference"],
        "gain": {**_ends(whole["gain"]), "significant": whole["gain"]["distinguishable"]},
        "deployment": None if row is None else _deployment(row, results),
        "model": {
            "name": student["name"],
            "config": student["origin"].get("config"),
            "pairs": len(results["pairs"]),
        },
        "task": {
            "list": data["list"],
            "sha256": data["sha256"],
            "clips": data["listed"],
            "classes": len(data["classes"]),
        },
    }


def _deployment(row: Row, results: Mapping[str, Any]) -> dict[str, Any]:
    share = row["gain_left"]["share"] if row["gain_left"]["meaningful"] else None
    total = latencies(results).get(row["cell"])
    return {
        "cell": row["cell"],
        "top1": _ends(row["student"]["top1"]),
        "gain": _ends(row["gain"]),
        "retained_gain": None if share is None else _ends(share),
        "change": _ends(row["student"]["change"]),
        "latency_seconds": None if total is None else {k: total[k] for k in ("p50", "p90", "p99")},
        "bytes": row["student"]["bytes"],
    }


def _ends(interval: Mapping[str, Any]) -> dict[str, Any]:
    return {key: interval[key] for key in ("point", "low", "high")}
