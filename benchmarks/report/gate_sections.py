"""The gate on the page: a verdict a deployment, and what was gained before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.gate import explanations
from benchmarks.gate.gain_sentences import change_sentence, gain_sentence, retained_sentences
from benchmarks.gate.verdict import REFERENCE, reference_row
from benchmarks.pages import numbers
from benchmarks.pages.charts import ChartRow, Level, Point, Rows, Scatter
from benchmarks.pages.parts import Badge, Plot, Section, Table, mark

Results = Mapping[str, Any]

LEGEND = {**explanations.VERDICTS, REFERENCE: "the reference"}


def gate_section(results: Results) -> Section:
    """Verdicts in sentences and as a table."""
    gain = reference_row(results)["gain"]
    sentences = [
        explanations.summary(results),
        gain_sentence(results["reference"], gain),
        *explanations.reference_notes(results),
    ]
    bullets = [
        *explanations.verdict_sentences(results),
        explanations.rule_sentence(results),
        *(
            f"{numbers.cell_name(one['what'])} was left out: {one['reason'].rstrip('.')}."
            for one in results["left_out"]
        ),
    ]
    return Section("The gate", sentences, (), [_table(results)], bullets)


def retained_section(results: Results) -> Section:
    """Accuracy and gain by deployment, and what each did to each model."""
    reference = results["reference"]
    others = [row for row in results["cells"] if row["cell"] != reference]
    whole = reference_row(results)
    sentences = [
        f"In {numbers.cell_name(reference)} the baseline answers "
        f"{numbers.percent(whole['baseline']['top1']['point'], 2)} of the clips correctly, the "
        f"student that learned with a peer {numbers.percent(whole['student']['top1']['point'], 2)}."
    ]
    sentences += retained_sentences(results)
    if not others:
        sentences.append("Only one deployment was measured, so there is nothing to compare.")
    bullets = [
        change_sentence(model, row["cell"], reference, row[model])
        for row in others
        for model in ("baseline", "student")
        if row[model]["change"]["only_first"] + row[model]["change"]["only_second"]
    ]
    return Section(
        "Gain of DML, and retained gain in each deployment",
        sentences,
        [_accuracies(results)],
        _pair_tables(results),
        bullets,
    )


def accuracy_against_latency(results: Results) -> Plot:
    """The student's accuracy in each deployment over its latency from file to label."""
    whole = reference_row(results)
    base = whole["student"]["top1"]["point"]
    latency = {row["cell"]: row["stages"]["total"] for row in results["speed"]["cells"]}
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
        "Top-1 of the student over the time from file to label (p50, one clip at a time). The "
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
    speed = results["speed"]
    timed = {row["cell"]: row for row in speed["cells"]} if speed else {}
    heads = ["deployment", "verdict", "baseline", "student", "gain", "retained gain"]
    heads += ["student's change"]
    heads += ["file to label, ms"] if speed else []
    rows: list[list[str | Badge]] = []
    for row in results["cells"]:
        found, left = row["verdict"], row["gain_left"]
        line: list[str | Badge] = [
            numbers.cell_name(row["cell"]),
            Badge(explanations.verdict_name(found), found["verdict"]),
            *(numbers.percent(row[model]["top1"]["point"], 2) for model in ("baseline", "student")),
            numbers.interval(row["gain"]),
            numbers.interval(left["share"], share=True)
            if left["meaningful"] and left["share"] is not None
            else "not meaningful",
            numbers.interval(found["change"]) if "change" in found else "\u2014",
        ]
        if speed:
            line.append(numbers.milliseconds(timed[row["cell"]]["stages"]["total"]["p50"]))
        rows.append(line)
    for one in results["broken"]:
        name = numbers.cell_name(one["cell"])
        rows.append([name, Badge("fails", "fail"), *["\u2014"] * (len(heads) - 2)])
    return Table(
        "Every deployment: top-1, the gain in points, the retained gain, and "
        "how the student's top-1 changes from the reference",
        heads,
        rows,
    )


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
        "Gain in top-1 before (square) and after deployment, with paired 95 % intervals.",
        Rows("Gain by deployment", rows, axis="gain in top-1, percentage points", zero=True),
        _legend(results),
    )


def _accuracies(results: Results) -> Plot:
    rows = []
    for row in results["cells"]:
        marks = [mark(row[model]["top1"], model) for model in ("baseline", "student")]
        text = " \u2192 ".join(
            numbers.percent(row[model]["top1"]["point"], 2) for model in ("baseline", "student")
        )
        rows.append(ChartRow(numbers.short_name(row["cell"]), text, marks))
    return Plot(
        "Top-1 accuracy, with 95 % intervals of each model alone. The difference is known better "
        "than these intervals suggest, because both models see the same clips.",
        Rows("Top-1 accuracy by deployment", rows, axis="top-1, %"),
        [("baseline", "baseline"), ("student", "DML student")],
    )


def _pair_tables(results: Results) -> list[Table]:
    """With several pairs: the gain and verdict of each on its own."""
    if len(results["pairs"]) == 1:
        return []
    rows: list[list[str | Badge]] = []
    for row in results["cells"]:
        for number, pair in enumerate(row["pairs"], start=1):
            rows.append(
                [
                    f"{numbers.cell_name(row['cell'])}, pair {number}",
                    Badge(explanations.VERDICTS[pair["verdict"]], pair["verdict"]),
                    numbers.interval(pair["gain"]),
                    numbers.p_value(pair["gain"]["p"]),
                ]
            )
    heads = [
        "deployment and pair",
        "verdict of this pair alone",
        "gain, points",
        "McNemar's exact test",
    ]
    return [Table("Pair by pair", heads, rows, folded=True)]
