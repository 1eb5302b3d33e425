"""What top-1 does not show, on the page: conditions, flips, calibration, every class."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.deployments.accuracy import MODELS
from benchmarks.gate.conditions import CONDITIONS
from benchmarks.gate.results.summary import chosen_row
from benchmarks.gate.sentences.conditions import condition_badge, measured_words
from benchmarks.pages import numbers
from benchmarks.pages.parts import Badge, Section, Table, bounds
from train.evaluation.per_class import confusion

Results = Mapping[str, Any]

MOST_COLUMNS = 12
"""Of more classes the most frequent confusions are shown instead of the matrix."""

MOST_CLASSES = 20
"""Of more classes the tables show those that are recognised worst."""


def measures_section(results: Results) -> Section:
    """A table each, folded; conditions that were asked for stand open."""
    tables = [*_conditions(results), _flips(results)]
    tables += [*_calibrations(results), *_accepted(results)]
    tables += [_worst_classes(results), _recalls(results), _confusion(results)]
    return Section("What top-1 does not show", (), (), tables)


def _conditions(results: Results) -> list[Table]:
    """Nothing where no condition was asked for."""
    rows: list[list[str | Badge]] = []
    for row in results["cells"]:
        for one in row["verdict"].get("required", ()):
            rows.append(
                [
                    f"{numbers.cell_name(row['cell'])}, {one['name']}",
                    condition_badge(one["found"]),
                    measured_words(one["interval"]),
                    f"{100 * one['limit']:g}",
                    CONDITIONS[one["name"]].about,
                ]
            )
    heads = ["deployment and condition", "found", "measured", "allowed, points", "about"]
    return [Table("Conditions besides the gain", heads, rows)] if rows else []


def _flips(results: Results) -> Table:
    rows = []
    for row in results["cells"]:
        found = row["flips"]
        line = [
            numbers.cell_name(row["cell"]),
            bounds(found["right_to_wrong"]),
            bounds(found["wrong_to_right"]),
            numbers.NONE if found["negative_flips"] is None else bounds(found["negative_flips"]),
        ]
        for model in reversed(MODELS):
            own = row[model].get("flips")
            for way in ("right_to_wrong", "wrong_to_right"):
                line.append(numbers.NONE if own is None else bounds(own[way]))
        rows.append(line)
    reference = numbers.cell_name(results["reference"])
    heads = [
        "deployment",
        "DML student instead of baseline: right to wrong",
        "wrong to right",
        "negative flips, of the baseline's right answers",
        f"student, from {reference}: right to wrong",
        "student: wrong to right",
        f"baseline, from {reference}: right to wrong",
        "baseline: wrong to right",
    ]
    return Table("Flips: answers that change, in percent of the clips", heads, rows, folded=True)


def _calibrations(results: Results) -> list[Table]:
    """Nothing where the result has no logits."""
    rows = []
    for row in results["cells"]:
        for model in MODELS:
            found = row[model].get("calibration")
            if found is None:
                continue
            before, after, change = found["before"], found["after"], found.get("change")
            line = [f"{model}, {numbers.short_name(row['cell'])}", bounds(before["ece"])]
            line += [numbers.percent(before["ece"]["by_chance"], 2)]
            scaled_ece = (
                [bounds(after["ece"]), numbers.percent(after["ece"]["by_chance"], 2)]
                if after
                else 2 * [numbers.NONE]
            )
            line += scaled_ece
            line += [numbers.NONE if change is None else numbers.interval(change["ece"])]
            for name in ("brier", "nll"):
                scaled = numbers.NONE if after is None else f"{after[name]['point']:.3f}"
                line += [f"{before[name]['point']:.3f}, {scaled}"]
                line += [numbers.NONE if change is None else _signed(change[name])]
            temperatures = [one for both in found["temperatures"] for one in both]
            line += [f"{np.exp(np.log(temperatures).mean()):.2f}" if temperatures else numbers.NONE]
            rows.append(line)
    if not rows:
        return []
    heads = ["model", "ECE", "ECE by chance", "ECE, scaled", "by chance", "ECE: change, points"]
    heads += ["Brier score, scaled", "its change", "NLL, scaled", "its change", "T"]
    caption = (
        "Calibration: ECE in percent (15 bins of equal mass) and that of a calibrated model by "
        "chance, Brier score, NLL in nats, each also after scaling by a temperature T, "
        "cross-fitted on halves of the clips; and changes from the reference, unscaled"
    )
    return [Table(caption, heads, rows, folded=True)]


def _accepted(results: Results) -> list[Table]:
    """Nothing where the bundles have no thresholds."""
    rows = [
        [
            f"{model}, {numbers.short_name(row['cell'])}",
            numbers.percent(one["precision_goal"], 0),
            numbers.NONE if one["precision"] is None else bounds(one["precision"]),
            bounds(one["share"]),
        ]
        for row in results["cells"]
        for model in MODELS
        for one in row[model].get("accepted", ())
    ]
    heads = ["model", "wanted precision", "precision", "answers taken, of all clips"]
    caption = (
        "Precision goals: answers whose calibrated score reaches the threshold that export chose "
        "for a precision on the validation list, in percent"
    )
    return [Table(caption, heads, rows, folded=True)] if rows else []


def _worst_classes(results: Results) -> Table:
    names = results["data"]["classes"]
    rows = []
    for row in results["cells"]:
        for model in MODELS:
            found = row[model]["classes"]
            place = found["class"].index(found["worst"])
            line = [
                f"{model}, {numbers.cell_name(row['cell'])}",
                f"{names[found['worst']]}: {bounds(_at(found, place, 'recall'))}",
            ]
            change = found.get("change")
            fell = None if change is None else change["largest_fall"]
            if change is None or fell is None:
                line.append(numbers.NONE)
            else:
                place = found["class"].index(fell)
                line.append(f"{names[fell]}: {numbers.interval(_at(change, place))}")
            lost = [
                names[one["class"]]
                for one in row["verdict"].get("collapsed_classes", ())
                if one["model"] == model
            ]
            line.append(numbers.joined(list(dict.fromkeys(lost))) if lost else numbers.NONE)
            rows.append(line)
    heads = ["model", "worst class: recall", "largest fall, points", "classes that collapsed"]
    caption = (
        "Every class: the worst, and the largest fall from the reference (its interval holds for "
        "all classes together)"
    )
    return Table(caption, heads, rows, folded=True)


def _recalls(results: Results) -> Table:
    """Both models' recall of each class; of other deployments where it is not the reference's."""
    names, cells = results["data"]["classes"], results["cells"]
    every = cells[0]["student"]["classes"]
    lowest = [
        min(row["student"]["classes"]["recall"][place] for row in cells)
        for place in range(len(every["class"]))
    ]
    shown = sorted(np.argsort(lowest, kind="stable")[:MOST_CLASSES].tolist())
    caption = "Recall of each class, where deployment changes it"
    if len(lowest) > MOST_CLASSES:
        caption += f": the {MOST_CLASSES} worst of {len(lowest)} classes"
    rows = []
    for place in shown:
        for row in cells:
            changes = [row[model]["classes"].get("change") for model in MODELS]
            if None not in changes and not any(one["point"][place] for one in changes):
                continue
            name, cell = names[every["class"][place]], numbers.cell_name(row["cell"])
            line = [f"{name}, {cell}", str(every["clips"][place])]
            for model, change in zip(MODELS, changes, strict=True):
                line.append(bounds(_at(row[model]["classes"], place, "recall")))
                line.append(
                    numbers.NONE if change is None else numbers.interval(_at(change, place))
                )
            rows.append(line)
    heads = ["class and deployment", "clips"]
    for model in ("baseline", "student"):
        heads += [f"{model}: recall", f"{model}: change, points"]
    return Table(caption, heads, rows, folded=True)


def _at(arrays: Mapping[str, Any], place: int, point: str = "point") -> dict[str, float]:
    """The interval of one class."""
    return {"point": arrays[point][place], **{end: arrays[end][place] for end in ("low", "high")}}


def _confusion(results: Results) -> Table:
    """The student in the chosen deployment, or in the reference where none passes."""
    row, names = chosen_row(results) or results["cells"][0], results["data"]["classes"]
    labels = np.asarray(results["data"]["labels"])
    of_pairs = [
        confusion(labels, np.asarray(pair["student"]["predictions"]), classes=len(names))
        for pair in row["pairs"]
    ]
    table = np.sum(of_pairs, axis=0)
    where = f"The student's answers in {numbers.cell_name(row['cell'])}"
    where += ", all pairs" if len(of_pairs) > 1 else ""
    if len(names) <= MOST_COLUMNS:
        rows = [
            [f"{number}: {name}", *map(str, counts)]
            for number, (name, counts) in enumerate(zip(names, table.tolist(), strict=True), 1)
        ]
        heads = ["class", *(str(number) for number in range(1, len(names) + 1)), "not read"]
        return Table(f"{where}, by class (confusion matrix)", heads, rows, folded=True)
    np.fill_diagonal(table, 0)
    order = np.argsort(-table, axis=None, kind="stable")[:MOST_CLASSES]
    pairs = [divmod(int(one), table.shape[1]) for one in order]
    said = [*names, "not read"]
    rows = [[names[a], said[b], str(table[a, b])] for a, b in pairs if table[a, b]]
    return Table(
        f"{where}: the most frequent confusions", ["class", "answer", "clips"], rows, folded=True
    )


def _signed(value: Mapping[str, Any]) -> str:
    """A change with its interval, three digits; a rounded zero has no direction."""
    low, point, high = (f"{round(value[end], 3) + 0.0:+.3f}".replace("-", "\u2212")
                        for end in ("low", "point", "high"))  # fmt: skip
    return f"{point} [{low}, {high}]"
