"""Conditions that were asked for, on the page: under which perturbations each is met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gate.conditions import MET, MISSED, OPEN
from benchmarks.gate.sentences.conditions import condition_badge, measured_words
from benchmarks.pages import numbers
from benchmarks.pages.parts import Badge, Table
from benchmarks.perturb.cameras import CLEAN
from benchmarks.perturb.conditions import CONDITIONS
from infer.system.terminal import counted

Results = Mapping[str, Any]
Row = Mapping[str, Any]


def required_words(results: Results) -> str:
    """What was asked for, as sentences that begin with a space; nothing where nothing was."""
    return "".join(
        f" Required besides, {_under(names, results)}: {_about(name, results)}."
        for name, names in results["rule"].get("require", {}).items()
    )


def required_sentences(results: Results) -> list[str]:
    """How each deployment stands to each condition."""
    standings: dict[tuple[str, str], list[tuple[Row, str]]] = {}
    for row, one in _required(results):
        standings.setdefault((row["cell"], one["name"]), []).append((row, one["found"]))
    words = {MET: "met", OPEN: "inconclusive", MISSED: "missed"}
    return [
        f"Required of {numbers.cell_name(cell)}: {_about(name, results)}; met under "
        f"{under_which(found, results, words)}."
        for (cell, name), found in standings.items()
    ]


def required_tables(results: Results) -> list[Table]:
    """Nothing where no condition was asked for."""
    rows: list[list[str | Badge]] = [
        [
            title_of(row, results),
            f"{numbers.short_name(row['cell'])}, {one['name']}",
            condition_badge(one["found"]),
            measured_words(one["interval"]),
            _about(one["name"], results),
        ]
        for row, one in _required(results)
    ]
    heads = ["perturbation", "deployment and condition", "found", "measured", "required"]
    title = "Further conditions; what is measured has to be above zero"
    return [Table(title, heads, rows)] if rows else []


def under_which(
    found: Sequence[tuple[Row, str]], results: Results, words: Mapping[str, str]
) -> str:
    """Under how many perturbations the first of the words is found, and the names of the others."""
    first, *others = words
    met = [one for _, one in found].count(first)
    text = f"{met} of {counted(len(found), 'perturbation')}"
    said = []
    for other in others:
        names = [title_of(row, results) for row, one in found if one == other]
        said += [f"{words[other]}: {numbers.joined(names)}"] if names else []
    return text + (f" ({'; '.join(said)})" if said else "")


def title_of(row: Row, results: Results) -> str:
    """The name for people of a row's perturbation."""
    title: str = results["perturbations"][row["perturbation"]]["title"]
    return title


def _required(results: Results) -> list[tuple[Row, Mapping[str, Any]]]:
    return [
        (row, one) for row in results["rows"] for one in row.get("verdict", {}).get("required", ())
    ]


def _about(name: str, results: Results) -> str:
    return CONDITIONS[name].about.format(keep=100 * results["rule"]["keep"])


def _under(names: Sequence[str], results: Results) -> str:
    """Perturbations by their titles."""
    if set(names) == set(results["perturbations"]) - {CLEAN}:
        return "under every perturbation"
    titles = [results["perturbations"][name]["title"] for name in names]
    return f"under {numbers.joined(titles)}"
