"""What the report says about real clips: each set on its own, and all together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.gate.sentences.explanations import VERDICTS
from benchmarks.pages import numbers
from benchmarks.pages.parts import Badge, Section, Table, bounds, machine_rows


def real_sentences(found: Mapping[str, Any]) -> list[str]:
    """A sentence a set, and two about all of them."""
    said = [_set_sentence(one["set"], one, found["reference"]) for one in found["sets"]]
    said.append(_set_sentence("All sets together", found["pooled"], found["reference"]))
    return said + _retained_sentences(found)


def real_sections(found: Mapping[str, Any]) -> list[Section]:
    """All together first, then each set, then the conditions."""
    keep, margin = 100 * found["rule"]["keep"], 100 * found["rule"]["margin"]
    sentences = [
        _set_sentence("All sets together", found["pooled"], found["reference"]),
        "Every clip was a test clip once, of networks that were trained without its group. Each "
        "set is a stratum: resamples draw seeds and, within each set, whole groups of its clips; "
        "no interval is narrower than Student's t over the groups. "
        "The interval across seeds is Student's t over the seeds' gains.",
        *_retained_sentences(found),
        f"A deployment passes where it is shown that at least {keep:g} % of a significant gain is "
        f"retained, or that the student loses less than {margin:g} points and not that less of "
        "the gain is left.",
    ]
    sentences += [
        f"{numbers.cell_name(cell)} is left out: not all of {numbers.joined(names)} answered in it."
        for cell, names in found["left_out"].items()
    ]
    if found.get("reduce_range"):
        sentences.append("Weights of int8 have 7 bits (--reduce-range).")
    if found["starts"]:
        sentences.append(
            "The networks started from: "
            + "; ".join(
                f"{name} {one['file']} (SHA-256 {one['sha256'][:16]})"
                for name, one in found["starts"].items()
            )
        )
    whole = found["reference"]
    rows = []
    for one in [*found["sets"], {"set": "all", **found["pooled"]}]:
        cell = one["by_cell"][whole]
        rows.append(
            [
                one["set"],
                str(one["clips"]),
                numbers.percent(one["chance"]),
                bounds(cell["baseline"]),
                bounds(cell["student"]),
                numbers.interval(cell["gain"]),
                numbers.span(cell["gain"]["by_pairs"])
                if "by_pairs" in cell["gain"]
                else numbers.NONE,
            ]
        )
    heads = ["set", "clips", "most frequent class", "baseline", "DML student", "gain in points",
             "across seeds: 95 % CI"]  # fmt: skip
    table = Table(f"Top-1 and gain in {numbers.cell_name(whole)}", heads, rows)
    measured = Table(
        "Measured",
        ["set", "seeds", "date", "processor"],
        [
            [name, " ".join(map(str, one["seeds"])), one["created"], one["cpu"]]
            for name, each in found["files"].items()
            for one in each
        ],
    )
    host = machine_rows(found["conditions"]["machine"])
    given = [*host, ["date", found["created"]], ["command", found["command"]]]
    return [
        Section("All sets", sentences, (), [table, _deployments("all sets", found["pooled"])]),
        *(
            Section(
                one["set"],
                [_set_sentence(one["set"], one, whole)],
                (),
                [_deployments(one["set"], one)],
            )
            for one in found["sets"]
        ),
        Section("Conditions", (), (), [measured, Table("Pooled", ["what", "value"], given)]),
    ]


def _set_sentence(name: str, one: Mapping[str, Any], reference: str) -> str:
    row = one["by_cell"][reference]
    baseline, student, gain = row["baseline"], row["student"], row["gain"]
    above = row["above_frequent"]
    learnt = "" if above["distinguishable"] and above["point"] > 0 else ", not significantly more"
    text = (
        f"{name}: {one['clips']} clips; the student alone is right for "
        f"{numbers.percent(baseline['point'])}, who always answers the most frequent class for "
        f"{numbers.percent(one['chance'])} (difference {numbers.interval(above)} points{learnt}); "
        f"with DML {numbers.percent(student['point'])}, "
        f"{numbers.interval(gain)} points"
    )
    if not gain["distinguishable"]:
        text += f": {numbers.NOT_DISTINGUISHABLE}"
    if row["collapsed"]:
        text += f"; a model answers one class in {numbers.joined(row['collapsed'])}"
    return text + "."


def _retained_sentences(found: Mapping[str, Any]) -> list[str]:
    said = []
    for cell, row in found["pooled"]["by_cell"].items():
        if cell == found["reference"]:
            continue
        lost = numbers.interval(row["verdict"]["change"])
        text = f"{numbers.cell_name(cell)}, all sets: {VERDICTS[row['verdict']['verdict']]}; "
        if row["collapsed"]:
            text += f"a model or a class collapsed in {numbers.joined(row['collapsed'])}; "
        if row["meaningful"] and row["retained"] is not None:
            text += f"gain retained: {numbers.retained(row['retained'])}; "
        else:
            text += "there is no significant gain to name a share of; "
        said.append(text + f"the student's top-1 changes by {lost} points.")
    return said


def _deployments(name: str, one: Mapping[str, Any]) -> Table:
    rows: list[list[str | Badge]] = []
    for cell, row in one["by_cell"].items():
        found = row.get("verdict")
        rows.append(
            [
                numbers.cell_name(cell),
                Badge(VERDICTS[found["verdict"]], found["verdict"]) if found else "the reference",
                numbers.percent(row["baseline"]["point"], 2),
                numbers.percent(row["student"]["point"], 2),
                numbers.interval(row["gain"]),
                numbers.retained(row["retained"] if row["meaningful"] else None),
                numbers.interval(found["change"]) if found else numbers.NONE,
            ]
        )
    heads = ["deployment", "verdict", "baseline", "student", "gain", "gain retained",
             "delta top-1"]  # fmt: skip
    return Table(f"Every deployment, {name}", heads, rows)
