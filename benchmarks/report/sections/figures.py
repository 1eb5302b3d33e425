"""Gain and accuracy in each deployment, all figures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.deployments.accuracy import MODELS
from benchmarks.gate.sentences import explanations
from benchmarks.pages import numbers
from benchmarks.pages.charts import ChartRow, Rows
from benchmarks.pages.parts import Badge, Plot, Section, Table, bounds, mark

Results = Mapping[str, Any]


def figures_section(results: Results) -> Section:
    """The models' accuracies as a plot; gains, accuracies and pairs as folded tables."""
    return Section(
        "Gain and accuracy",
        ["Square brackets hold 95 % intervals. Gains and deltas are in percentage points."],
        [_accuracies(results)],
        [_gains(results), _evidence(results), _models(results), *_pairs(results)],
    )


def _accuracies(results: Results) -> Plot:
    rows = []
    for row in results["cells"]:
        marks = [mark(row[model]["top1"], model) for model in MODELS]
        text = " → ".join(numbers.percent(row[model]["top1"]["point"], 2) for model in MODELS)
        rows.append(ChartRow(numbers.short_name(row["cell"]), text, marks))
    return Plot(
        "Top-1 accuracy, with 95 % intervals of each model alone. The gain is known better than "
        "these suggest, because both models see the same clips.",
        Rows("Top-1 accuracy by deployment", rows, axis="top-1, %"),
        [("baseline", "baseline"), ("student", "DML student")],
    )


def _gains(results: Results) -> Table:
    rows = []
    for row in results["cells"]:
        gain, is_reference = row["gain"], row["cell"] == results["reference"]
        rows.append(
            [
                numbers.cell_name(row["cell"]),
                numbers.interval(gain),
                numbers.p_value(gain["p"]),
                f"{gain['only_second']} : {gain['only_first']}",
                numbers.NONE if is_reference else numbers.interval(row["gain_change"]),
                numbers.interval(row["gain_top5"]),
                numbers.interval(row["gain_macro_f1"]) if row["gain_macro_f1"] else numbers.NONE,
            ]
        )
    heads = [
        "deployment",
        "gain in top-1",
        "McNemar's exact test",
        "clips right only with : only without DML",
        "delta gain against the reference",
        "gain in top-5",
        "gain in macro-F1",
    ]
    return Table("Gain: student minus baseline", heads, rows, folded=True)


def _evidence(results: Results) -> Table:
    """The intervals that decide."""
    keep, margin = explanations.keep_words(results), explanations.margin_words(results)
    rows: list[list[str | Badge]] = []
    for row in results["cells"]:
        found = row["verdict"]
        if "kept" not in found:
            continue
        rows.append(
            [
                numbers.cell_name(row["cell"]),
                Badge(explanations.verdict_name(found), found["verdict"]),
                numbers.interval(found["change"]),
                numbers.interval(found["kept"]),
            ]
        )
    heads = [
        "deployment",
        "verdict",
        f"delta top-1 of the student; passes above −{margin}",
        f"gain less {keep} of the reference's; passes above 0 if there is a gain",
    ]
    return Table("What each verdict rests on, in points", heads, rows, folded=True)


def _models(results: Results) -> Table:
    rows = []
    for row in results["cells"]:
        for model in MODELS:
            part = row[model]
            change, gap = part["change"], part["max_logit_difference"]
            shown = row["verdict"].get("change", change) if model == "student" else change
            moved = change["only_first"] + change["only_second"] > 0
            rows.append(
                [
                    f"{model}, {numbers.cell_name(row['cell'])}",
                    bounds(part["top1"]),
                    numbers.interval(shown) if moved else numbers.NONE,
                    bounds(part["top5"]),
                    numbers.percent(part["macro_f1"], 2),
                    numbers.NONE
                    if part["agreement"] is None
                    else numbers.percent(part["agreement"], 2),
                    numbers.NONE if gap is None else f"{gap:.2g} of {part['max_logit']:.3g}",
                    numbers.size(part["bytes"]),
                    part["artifact"],
                ]
            )
    heads = [
        "model",
        "top-1",
        "delta top-1 against the reference",
        "top-5",
        "macro-F1",
        f"same answer as {numbers.cell_name(results['reference'])}",
        "largest logit difference",
        "size",
        "file",
    ]
    caption = "Each model alone; no delta where no clip turned right or wrong"
    return Table(caption, heads, rows, folded=True)


def _pairs(results: Results) -> list[Table]:
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
    heads = ["deployment and pair", "verdict of this pair alone", "gain in points"]
    return [Table("Pair by pair", [*heads, "McNemar's exact test"], rows, folded=True)]
