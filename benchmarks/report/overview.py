"""What the report's page shows first: the question, the verdict, one plot and three numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.gate.results.summary import chosen_row, latencies, overall
from benchmarks.gate.sentences import explanations
from benchmarks.gate.verdict import FAIL, PASS, UNCLEAR, reference_row
from benchmarks.pages import numbers
from benchmarks.pages.parts import Badge, Figure, Overview
from benchmarks.report.badge import all_retained, badge_words
from benchmarks.report.sections.gate import gains
from benchmarks.timing.stages import READ

PICTURE, BADGE = "gain.svg", "badge.svg"

Results = Mapping[str, Any]
Row = Mapping[str, Any]


def overview(results: Results) -> Overview:
    """Everything that answers whether the gain survives deployment."""
    found, row = overall(results), chosen_row(results)
    return Overview(
        about=about(results),
        verdict=Badge(explanations.VERDICTS[found], found),
        answer=f"{_answer(results, found)} {explanations.summary(results)}",
        rule=explanations.short_rule(results),
        figures=[_gain(results), _retained(results, row), _latency(results, row)],
        plot=gains(results),
        picture=PICTURE,
        badge=(BADGE, ": ".join(badge_words(results))),
    )


def about(results: Results) -> str:
    """Model and task in a line."""
    student, data = results["pairs"][0]["student"], results["data"]
    config, pairs = student["origin"].get("config"), len(results["pairs"])
    model = student["name"] if config is None else f"{student['name']} ({config})"
    many = f" and {pairs - 1} more of the same recipe" if pairs > 1 else ""
    return (
        f"Model: {model}{many}. Task: {data['list']}, {data['listed']:,} clips, "
        f"{len(data['classes'])} classes."
    )


def _answer(results: Results, found: str) -> str:
    """What the verdict says of the gain."""
    whole = reference_row(results)
    if whole["verdict"]["collapsed"]:
        return "There is no answer: a model answers one class in the reference already."
    if len(results["cells"]) + len(results["broken"]) < 2:
        return "There is no answer yet."
    if not whole["verdict"]["gain_is_real"]:
        if whole["gain"]["distinguishable"]:
            return "There is no gain: the student is worse than the baseline."
        return "The gain itself is not statistically significant."
    passed = [row["verdict"]["verdict"] for row in results["cells"]].count(PASS)
    if found == FAIL:
        return "Not in every deployment." if passed else "No."
    if found == UNCLEAR:
        return "Not shown in every deployment." if passed else "Not shown."
    if all_retained(results):
        return "Yes."
    keep = explanations.keep_words(results)
    return (
        f"Not shown for all: the student keeps its accuracy, but that at least {keep} of the gain "
        "is retained is not shown in every deployment."
    )


def _gain(results: Results) -> Figure:
    whole = reference_row(results)
    gain = whole["gain"]
    tops = [numbers.percent(whole[model]["top1"]["point"], 2) for model in ("baseline", "student")]
    note = (
        f"{numbers.level(gain)} interval {numbers.span(gain)}; top-1 {tops[0]} without DML, "
        f"{tops[1]} with it, before deployment ({numbers.cell_name(whole['cell'])})."
    )
    if gain.get("pairs", 1) > 1:
        note += f" {gain['pairs_gaining']} of {gain['pairs']} pairs gain."
    if not gain["distinguishable"]:
        note += f" {numbers.NOT_DISTINGUISHABLE.capitalize()}."
    return Figure("gain", f"{numbers.points(gain['point'])} points", note)


def _retained(results: Results, row: Row | None) -> Figure:
    name = "gain retained"
    if row is None:
        return Figure(name, numbers.NONE, "No deployment passes.")
    timed = row["cell"] in latencies(results)
    where = (
        f"{numbers.cell_name(row['cell'])}, the {'fastest' if timed else 'smallest'} that passes"
    )
    left = row["gain_left"]
    if not left["meaningful"] or left["share"] is None:
        change = numbers.interval(row["verdict"]["change"])
        return Figure(
            name, numbers.NONE,
            f"There is no significant gain to name a share of. {where}: delta top-1 against "
            f"the reference {change} points.",
        )  # fmt: skip
    share = left["share"]
    note = where
    if share["low"] != share["high"]:
        ends = " to ".join(numbers.percent(share[end], 0) for end in ("low", "high"))
        note += f"; {numbers.level(share)} interval {ends}"
    others = [
        one["gain_left"]["share"]["point"]
        for one in results["cells"]
        if one["cell"] != results["reference"] and one["gain_left"]["share"] is not None
    ]
    if len(others) > 1:
        least, most = (numbers.percent(end(others), 0) for end in (min, max))
        note += f". All deployments: {least}" + (f" to {most}" if least != most else "")
    return Figure(name, numbers.percent(share["point"], 0), f"{note}.")


def _latency(results: Results, row: Row | None) -> Figure:
    name = "end-to-end latency"
    if results["speed"] is None:
        return Figure(name, numbers.NONE, "Nothing was timed.")
    timed = {one["cell"]: one["stages"] for one in results["speed"]["cells"]}
    if row is None or row["cell"] not in timed:
        return Figure(name, numbers.NONE, "No deployment passes.")
    stages = timed[row["cell"]]
    total = stages["total"]["p50"]
    note = (
        f"{numbers.cell_name(row['cell'])}, from file to label, one clip at a time (median); "
        f"reading takes {numbers.percent(stages[READ]['p50'] / total, 0)} of it."
    )
    return Figure(name, f"{numbers.milliseconds(total)} ms", note)
