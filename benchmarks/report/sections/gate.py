"""The gate on the page: the gain before and after as a plot, and a verdict a deployment."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.gate.results.summary import latencies
from benchmarks.gate.sentences import explanations
from benchmarks.gate.sentences.grouped_verdicts import grouped_sentences
from benchmarks.gate.verdict import REFERENCE, reference_row
from benchmarks.pages import numbers
from benchmarks.pages.charts import ChartRow, Level, Point, Rows, Scatter
from benchmarks.pages.parts import Badge, Plot, Section, Table, mark

Results = Mapping[str, Any]

LEGEND = {**explanations.VERDICTS, REFERENCE: "before deployment (the reference)"}


def gate_section(results: Results) -> Section:
    """Every deployment in a table, and what the verdicts rest on."""
    bullets = [*grouped_sentences(results), explanations.rule_sentence(results)]
    return Section(
        "Every deployment",
        explanations.reference_notes(results),
        (),
        [_table(results)],
        bullets,
    )


def accuracy_against_latency(results: Results) -> Plot:
    """The student's accuracy in each deployment over its end-to-end latency."""
    whole = reference_row(results)
    base = whole["student"]["top1"]["point"]
    latency = latencies(results)
    points = []
    for row in results["cells"]:
        found = row["verdict"]
        change = found.get("change", {"low": 0.0, "high": 0.0})
        points.append(
            Point(
                numbers.short_name(row["cell"]),
                1000 * latency[row["cell"]]["p50"],
                100 * row["student"]["top1"]["point"],
                100 * (base + change["low"]),
                100 * (base + change["high"]),
                found["verdict"],
            )
        )
    margin = results["rule"]["margin"]
    limit = Level(100 * (base - margin), f"margin \u2212{100 * margin:g}", "dashed")
    return Plot(
        "Top-1 of the student over its end-to-end latency (p50, one clip at a time). The "
        "bars are 95 % intervals of the difference from the reference, which the same clips "
        "settle better than either accuracy alone.",
        Scatter(
            "Accuracy against latency",
            points,
            [Level(100 * base), limit],
            axis="milliseconds a clip",
            y_axis="top-1, %",
        ),
        _legend(results),
    )


def _legend(results: Results) -> list[tuple[str, str]]:
    used = {row["verdict"]["verdict"] for row in results["cells"]}
    return [(style, text) for style, text in LEGEND.items() if style in used]


def _table(results: Results) -> Table:
    latency = latencies(results)
    heads = ["deployment", "verdict", "baseline", "student", "gain", "gain retained"]
    heads += ["delta top-1"]
    heads += ["end-to-end latency, ms"] if latency else []
    rows: list[list[str | Badge]] = []
    for row in results["cells"]:
        found, left = row["verdict"], row["gain_left"]
        line: list[str | Badge] = [
            numbers.cell_name(row["cell"]),
            Badge(explanations.verdict_name(found), found["verdict"]),
            *(numbers.percent(row[model]["top1"]["point"], 2) for model in ("baseline", "student")),
            numbers.interval(row["gain"]),
            numbers.retained(left["share"] if left["meaningful"] else None),
            numbers.interval(found["change"]) if "change" in found else numbers.NONE,
        ]
        if latency:
            line.append(numbers.milliseconds(latency[row["cell"]]["p50"]))
        rows.append(line)
    for one in results["broken"]:
        name = numbers.cell_name(one["cell"])
        rows.append([name, Badge("fails", "fail"), *[numbers.NONE] * (len(heads) - 2)])
    caption = (
        "Top-1, gain in points, gain retained, and delta top-1 of the student against the "
        "reference in points"
    )
    return Table(caption, heads, rows)


def gains(results: Results) -> Plot:
    """The gain in each deployment: the report's main plot."""
    rows = [
        ChartRow(
            numbers.short_name(row["cell"]),
            numbers.interval(row["gain"]),
            [mark(row["gain"], row["verdict"]["verdict"])],
        )
        for row in results["cells"]
    ]
    return Plot(
        "Gain in top-1 before and after deployment, with paired 95 % intervals.",
        Rows("Gain by deployment", rows, axis="gain in top-1, percentage points", zero=True),
        _legend(results),
    )
