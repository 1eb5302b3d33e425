"""What the page on other cameras shows first: the verdict, one plot and three numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.gate.sentences.explanations import VERDICTS
from benchmarks.pages import numbers
from benchmarks.pages.parts import Badge, Figure, Overview
from benchmarks.perturb.cameras import CLEAN
from benchmarks.perturb.required import title_of
from benchmarks.perturb.result_file import overall
from benchmarks.perturb.sections import cells, gains, judged_by, sentences
from benchmarks.report.overview import PICTURE, about

Results = Mapping[str, Any]
Row = Mapping[str, Any]


def overview(results: Results) -> Overview:
    """Everything that answers whether the gain survives another camera."""
    found, reference = overall(results), results["reference"]
    own = [row for row in results["rows"] if row["cell"] == reference]
    clean, *perturbed = own
    figures = [_gain("gain on the clips as they are", clean, results)]
    if perturbed:
        least = min(perturbed, key=lambda row: row["gain"]["point"])
        figures.append(_gain("smallest gain", least, results))
    if len(cells(results)) > 1:
        figures.append(_retained(results))
    return Overview(
        about=about(results),
        verdict=Badge(VERDICTS[found], found),
        answer=sentences(results)[0],
        rule=judged_by(results),
        figures=figures,
        plot=gains(results),
        picture=PICTURE,
    )


def _gain(name: str, row: Row, results: Results) -> Figure:
    gain, pairs = row["gain"], len(results["pairs"])
    tops = [numbers.percent(row[model]["top1"], 2) for model in ("baseline", "student")]
    note = (
        f"{numbers.level(gain)} interval {numbers.span(gain)}; top-1 {tops[0]} without DML, "
        f"{tops[1]} with it ({numbers.cell_name(row['cell'])})."
    )
    if pairs > 1:
        note += f" {gain['pairs_gaining']} of {pairs} pairs gain."
    if row["perturbation"] != CLEAN:
        note = f"{title_of(row, results)}; {note}"
    return Figure(name, f"{numbers.points(gain['point'])} points", note)


def _retained(results: Results) -> Figure:
    """The least share that a deployment retains under a perturbation."""
    rows = [row for row in results["rows"] if row.get("retained") is not None]
    rows = [row for row in rows if row["perturbation"] != CLEAN]
    name = "least gain retained"
    if not rows:
        return Figure(name, numbers.NONE, "No share is named of gains that are not significant.")
    least = min(rows, key=lambda row: row["retained"]["point"])
    share = least["retained"]
    note = f"{numbers.cell_name(least['cell'])}, {title_of(least, results)}"
    if share["low"] != share["high"]:
        ends = " to ".join(numbers.percent(share[end], 0) for end in ("low", "high"))
        note += f"; {numbers.level(share)} interval {ends}"
    return Figure(name, numbers.percent(share["point"], 0), f"{note}.")
