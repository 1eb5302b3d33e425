"""The report on other cameras, as sections: what came out in a table, and the conditions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.deployments.accuracy import MODELS
from benchmarks.gate.sentences.collapses import class_collapse_words, collapse_words
from benchmarks.gate.sentences.explanations import VERDICTS, folds_sentences
from benchmarks.gate.verdict import FAIL, PASS, UNCLEAR
from benchmarks.pages import numbers
from benchmarks.pages.charts import ChartRow, Rows
from benchmarks.pages.parts import Badge, Plot, Section, Table, machine_rows, mark
from benchmarks.perturb.cameras import CLEAN
from benchmarks.perturb.figures import word
from benchmarks.perturb.required import (
    required_sentences,
    required_tables,
    required_words,
    title_of,
    under_which,
)
from infer.system.terminal import counted

TITLE = "Does the gain of deep mutual learning (DML) survive another camera?"
STYLES = ("reference", "student", "pooled", "baseline")
"""Of the plot: the reference's, then those of the deployments that have room."""
SHOWN = 3
"""Models that a sentence about collapses spells out; the others are counted."""

Results = Mapping[str, Any]
Row = Mapping[str, Any]


def sections(results: Results) -> list[Section]:
    """Answers first, then what was done to the clips, then conditions."""
    return [
        Section(
            "Every perturbation and deployment",
            sentences(results)[1:],
            (),
            [_table(results), *required_tables(results)],
            _notes(results),
        ),
        Section("What was done to the clips", [_road(results)], (), [_perturbations(results)]),
        Section("Conditions", (), (), [_conditions(results)]),
    ]


def sentences(results: Results) -> list[str]:
    """The gain in the reference, and then each deployment, over all perturbations."""
    reference, count = results["reference"], len(results["pairs"])
    pairs = "one pair" if count == 1 else f"{count} pairs"
    clean, *own = _rows(results, reference)
    said = []
    if own:
        said.append(
            f"In {numbers.cell_name(reference)} the gain of the DML student is above zero under "
            f"{_counted(own, results)} ({pairs}, {results['data']['listed']:,} clips)."
        )
    said.append(f"On the clips as they are the gain is {numbers.interval(clean['gain'])} points.")
    if own:
        least = min(own, key=lambda row: row["gain"]["point"])
        said[-1] = (
            f"{said[-1][:-1]}; the smallest is {numbers.interval(least['gain'])} "
            f"({title_of(least, results)})."
        )
    for cell in cells(results)[1:]:
        rows = [row for row in _rows(results, cell) if row["perturbation"] != CLEAN]
        if rows:
            said.append(
                f"{numbers.cell_name(cell)} passes under {_counted(rows, results)}, compared with "
                f"{numbers.cell_name(reference)} on the same perturbed clips."
            )
    return said + required_sentences(results)


def _counted(rows: Sequence[Row], results: Results) -> str:
    """Under how many perturbations a verdict passes, and the names of the others."""
    words = {one: VERDICTS[one] for one in (PASS, UNCLEAR, FAIL)}
    return under_which([(row, word(row)) for row in rows], results, words)


def _notes(results: Results) -> list[str]:
    """How to read the table, and what is missing in it."""
    said = [
        "Intervals are paired over the same clips and, where there are several, over trained "
        "pairs; the widest of the bootstrap, the score interval and Student's t over the pairs. "
        "They are not corrected for the number of perturbations. Changes are those from the same "
        "deployment on the clips as they are.",
    ]
    said += folds_sentences(results) + _collapses(results)
    for one in results["perturbations"].values():
        if one["problem"] is not None:
            said.append(f"{one['title']} was not measured: {one['problem']}")
        said += [
            f"{one['title']}, {numbers.cell_name(bad['cell'])} was not measured: {bad['reason']}"
            for bad in one["broken"]
        ]
        if one["failed"]:
            said.append(_failed(one["failed"], f"{one['title']}: ", "perturbed", "wrong there"))
    failed = results["data"]["failed"]
    if failed:
        said.append(_failed(failed, "", "read", "wrong everywhere"))
    return said + [
        f"{numbers.cell_name(one['what'])} was left out: {one['reason'].rstrip('.')}."
        for one in results["left_out"]
    ]


def judged_by(results: Results) -> str:
    """What the verdicts mean."""
    rule, reference = results["rule"], numbers.cell_name(results["reference"])
    return (
        f"{reference} passes where the whole 95 % interval of the gain is above zero and fails "
        "where it is below. Every other deployment is judged as by the gate, against "
        f"{reference} on the same perturbed clips: at least {100 * rule['keep']:g} % of the gain "
        f"retained, or less than {100 * rule['margin']:g} points of the student lost and not "
        "shown that less of the gain is left." + required_words(results)
    )


def _failed(failed: Sequence[Mapping[str, str]], where: str, verb: str, counted_as: str) -> str:
    first, clips = failed[0], counted(len(failed), "clip")
    counts = "counts" if len(failed) == 1 else "count"
    return (
        f"{where}{clips} could not be {verb} and {counts} as {counted_as}, first {first['path']}: "
        f"{first['error']}"
    )


def _collapses(results: Results) -> list[str]:
    """Models that answer one class or lost some, each once with all perturbations where it is."""
    where: dict[tuple[str, str], list[str]] = {}
    for row in results["rows"]:
        found, cell = row.get("verdict", row), numbers.cell_name(row["cell"])
        for key, words in (
            ("collapsed", collapse_words),
            ("collapsed_classes", class_collapse_words),
        ):
            models = found.get(key, ())
            if models:
                more = f" and {len(models) - SHOWN} more" * (len(models) > SHOWN)
                text = words(models[:SHOWN], results) + more
                where.setdefault((cell, text), []).append(title_of(row, results))
    return [f"{cell} ({numbers.joined(titles)}): {text}." for (cell, text), titles in where.items()]


def gains(results: Results) -> Plot:
    """The gain under each perturbation, in the reference and in other deployments."""
    shown = cells(results)[: len(STYLES)]
    styles = dict(zip(shown, STYLES, strict=False))
    rows = []
    for name in results["perturbations"]:
        own = [row for row in results["rows"] if row["perturbation"] == name]
        own = [row for row in own if row["cell"] in styles]
        if own:
            rows.append(
                ChartRow(
                    title_of(own[0], results),
                    ", ".join(numbers.points(row["gain"]["point"]) for row in own[:2]),
                    [mark(row["gain"], styles[row["cell"]]) for row in own],
                )
            )
    return Plot(
        "Gain in top-1 on the clips as they are and under each perturbation, with paired 95 % "
        "intervals.",
        Rows("Gain by perturbation", rows, axis="gain in top-1, percentage points", zero=True),
        [(style, numbers.short_name(cell)) for cell, style in styles.items()],
    )


def _table(results: Results) -> Table:
    heads = ["perturbation", "deployment", "baseline (change)", "DML student (change)", "gain"]
    heads += ["change of the gain", "retained gain", "verdict"]
    rows: list[list[str | Badge]] = []
    for row in results["rows"]:
        moved, share = row["gain_change"], row.get("retained")
        judged = word(row)
        rows.append(
            [
                title_of(row, results),
                numbers.short_name(row["cell"]),
                *(_top1(row[model]) for model in MODELS),
                numbers.interval(row["gain"]),
                numbers.NONE if moved is None else numbers.interval(moved),
                numbers.retained(share) if "verdict" in row else numbers.NONE,
                Badge(VERDICTS[judged], judged),
            ]
        )
    return Table(
        "Top-1, and its change from the clips as they are; the gain in points; and how much of the "
        f"gain in {numbers.cell_name(results['reference'])} under the same perturbation is "
        "retained",
        heads,
        rows,
    )


def _top1(part: Mapping[str, Any]) -> str:
    text = numbers.percent(part["top1"], 2)
    return text if part["change"] is None else f"{text} ({numbers.points(part['change']['point'])})"


def _road(results: Results) -> str:
    return (
        "Every decoded frame of a clip is perturbed; then frames are sampled, scaled and cropped "
        "as deployment does. Random draws follow from the path of the clip, the perturbation and "
        f"the seed ({results['conditions']['seed']}): all models and deployments see the same "
        "pixels."
    )


def _perturbations(results: Results) -> Table:
    rows = [[one["title"], one["about"]] for one in results["perturbations"].values()]
    return Table("Perturbations", ["perturbation", "what it does"], rows)


def _conditions(results: Results) -> Table:
    given, data = results["conditions"], results["data"]
    taken = data["listed"]
    listed = data["clips_of_list"]
    clips = f"{taken}" if taken == listed else f"{taken} of {listed}, drawn within classes"
    rows = [
        *machine_rows(given["machine"]),
        ["threads", str(given["threads"])],
        ["clips", f"{clips}, of {data['list']} (SHA-256 {data['sha256'][:16]})"],
        ["pairs", str(len(results["pairs"]))],
        ["resampling", f"{given['resamples']:,} resamples, seed {given['seed']}"],
        ["date", results["created"]],
        ["command", results["command"]],
    ]
    return Table("How this was measured", ["what", "value"], rows)


def cells(results: Results) -> list[str]:
    """The deployments that have rows, the reference first."""
    return list(dict.fromkeys(row["cell"] for row in results["rows"]))


def _rows(results: Results, cell: str) -> list[Row]:
    return [row for row in results["rows"] if row["cell"] == cell]
