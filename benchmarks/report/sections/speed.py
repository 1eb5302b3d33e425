"""What the deployments cost, on the page: latency by stage, throughput, memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.pages import numbers
from benchmarks.pages.charts import ChartRow, Rows
from benchmarks.pages.parts import Plot, Section, Table
from benchmarks.report.sections.gate import accuracy_against_latency
from benchmarks.timing.latency import ratio_words
from benchmarks.timing.stages import PREPROCESS, RANK, READ, STAGES, TOTAL
from infer.system.terminal import counted

BUSY = 0.1  # share of the cores that others may use before times are doubtful
FEW = 100  # calls below which a p99 is little more than the slowest call
HEADS = ("p50", "p90", "p99")
WORDS = {READ: "reading", PREPROCESS: "preprocessing", RANK: "post-processing"}
MOST = 0.5  # share of the latency from which on a stage dominates it


def speed_section(results: Mapping[str, Any]) -> Section:
    """Sentences, plots and tables about speed and memory."""
    speed, given = results["speed"], results["conditions"]
    sentences = _reading(speed)
    sentences.append(
        "End-to-end latency is the time from a video file to its label, one clip at a time. All "
        "deployments of the student were timed in one run, in turns of random order, with "
        f"{counted(given['threads'], 'thread')} each. The spread is that of "
        f"{given['repetitions']} repetitions."
    )
    others, cores = speed["cores_of_others"], given["machine"]["cores"]
    if others is not None and others > BUSY * cores:
        sentences.append(
            f"Beware: meanwhile other programs kept {others:.1f} of {cores} cores busy. The ratios "
            "bear that better than the milliseconds, but measure again on a quiet machine."
        )
    few = min(row["stages"][TOTAL]["calls"] for row in speed["cells"])
    if few < FEW:
        sentences.append(
            f"Each was called {few} times only: a p99 is little more than the slowest call."
        )
    sentences += _fastest(speed)
    plots = [accuracy_against_latency(results), _stage_plot(speed)]
    return Section(
        "What it costs",
        sentences,
        plots,
        [_latency(speed), _throughput(speed, given), _memory(results)],
    )


def _reading(speed: Mapping[str, Any]) -> list[str]:
    """Where most of the latency is no matter of the network."""
    shares = {
        row["cell"]: row["stages"][READ]["p50"] / row["stages"][TOTAL]["p50"]
        for row in speed["cells"]
    }
    most = [share for share in shares.values() if share > MOST]
    if not most:
        return []
    ends = [numbers.percent(end(most), 0) for end in (min, max)]
    span = ends[0] if ends[0] == ends[1] else f"{ends[0]} to {ends[1]}"
    where = numbers.joined([numbers.cell_name(cell) for cell in shares if shares[cell] > MOST])
    if len(most) == len(shares) > 1:
        where = "every deployment"
    return [
        f"Reading the video dominates: it takes {span} of the end-to-end latency of {where} "
        "(medians). A faster network can only shorten the rest."
    ]


def _stage_plot(speed: Mapping[str, Any]) -> Plot:
    bars = []
    for row in speed["cells"]:
        stages, total = row["stages"], row["stages"][TOTAL]
        bars.append(
            ChartRow(
                numbers.short_name(row["cell"]),
                f"{numbers.milliseconds(total['p50'])} … {numbers.milliseconds(total['p99'])} ms",
                parts=[(stage, 1000 * stages[stage]["p50"]) for stage in STAGES],
                tail=1000 * total["p99"],
            )
        )
    return Plot(
        "End-to-end latency: medians of the stages, the line on to the p99 of the whole.",
        Rows("Latency by stage", bars, axis="milliseconds a clip"),
        [*((stage, WORDS.get(stage, stage)) for stage in STAGES), ("soft", "to p99")],
    )


def _latency(speed: Mapping[str, Any]) -> Table:
    ratio_to = speed["ratio_to"]
    rows = []
    for row in speed["cells"]:
        total, network = row["stages"][TOTAL], row["stages"]["network"]
        line = [
            numbers.cell_name(row["cell"]),
            *(numbers.milliseconds(total[key]) for key in HEADS),
            *(
                " / ".join(numbers.milliseconds(row["stages"][stage][key]) for key in HEADS)
                for stage in STAGES
            ),
        ]
        if ratio_to:
            line.append(ratio_words(network, 2))
        rows.append([*line, str(total["calls"])])
    heads = ["deployment", *(f"{key}, ms" for key in HEADS)]
    heads += [f"{WORDS.get(stage, stage)}: p50 / p90 / p99, ms" for stage in STAGES]
    heads += [f"network against {numbers.cell_name(ratio_to)}"] if ratio_to else []
    return Table("End-to-end latency, one clip at a time", [*heads, "calls"], rows, folded=True)


def _throughput(speed: Mapping[str, Any], given: Mapping[str, Any]) -> Table:
    ratio_to = speed["ratio_to"]
    rows = []
    for row in speed["cells"]:
        found = row["throughput"]
        line = [
            numbers.cell_name(row["cell"]),
            f"{found['clips_per_second']:.1f}",
            *(numbers.milliseconds(found[key]) for key in HEADS),
            " to ".join(numbers.milliseconds(value) for value in found["p50_spread"]),
        ]
        if ratio_to:
            line.append(ratio_words(found, 2))
        rows.append([*line, str(found["calls"])])
    heads = ["deployment", "clips/s", *(f"{key}, ms" for key in HEADS), "p50 by repetition, ms"]
    heads += [f"time against {numbers.cell_name(ratio_to)}"] if ratio_to else []
    caption = f"The network alone, {given['batch']} clips a call"
    return Table(caption, [*heads, "calls"], rows, folded=True)


def _memory(results: Mapping[str, Any]) -> Table:
    files = {row["cell"]: row["student"]["bytes"] for row in results["cells"]}
    rows = []
    for row in results["speed"]["memory"]:
        known = row["bytes"] is not None
        rows.append(
            [
                numbers.cell_name(row["cell"]),
                numbers.size(files[row["cell"]]),
                numbers.size(row["bytes"]) if known else f"unknown: {row['reason']}",
                numbers.size(row["before"]) if known else numbers.NONE,
            ]
        )
    caption = (
        "Size and memory: how much higher the peak of a fresh process gets that imports, opens "
        "and runs the network on one clip, than that of one that is ready to read videos"
    )
    heads = ["deployment", "file", "memory added", "before"]
    return Table(caption, heads, rows, folded=True)


def _fastest(speed: Mapping[str, Any]) -> Sequence[str]:
    best = min(speed["cells"], key=lambda row: float(row["stages"]["network"]["p50"]))
    network = best["stages"]["network"]
    text = (
        f"The fastest network at one clip is {numbers.cell_name(best['cell'])}: "
        f"{numbers.milliseconds(network['p50'])} ms (p50)"
    )
    ratio_to = speed["ratio_to"]
    if ratio_to is None or best["cell"] == ratio_to:
        return [text + "."]
    low, high = network["ratio_spread"]
    if low < 1 <= high:
        return [text + f", not clearly faster than {numbers.cell_name(ratio_to)}."]
    return [text + f", {network['ratio']:.2f} of the time of {numbers.cell_name(ratio_to)}."]
