"""Verdicts for a page that has their numbers in a table: a sentence for each reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.gate.sentences import explanations
from benchmarks.gate.sentences.conditions import deciding
from benchmarks.gate.sentences.needed import needed_for_verdict, needed_note
from benchmarks.gate.verdict import FAIL, PASS, is_caught_up, is_retained, reference_row
from benchmarks.pages import numbers

Results = Mapping[str, Any]
Row = Mapping[str, Any]


def grouped_sentences(results: Results) -> list[str]:
    """What the verdicts rest on; deployments with the same reason stand in one sentence."""
    groups: dict[str, list[Row]] = {}
    for row in results["cells"]:
        if row["cell"] != results["reference"]:
            groups.setdefault(_reason(row, results) or row["cell"], []).append(row)
    said = []
    for reason, rows in groups.items():
        if _reason(rows[0], results) is None:
            said.append(explanations.verdict_sentence(rows[0], results))
            continue
        names = numbers.joined([numbers.cell_name(row["cell"]) for row in rows])
        one = len(rows) == 1
        verb = "passes" if one else "pass"
        if rows[0]["verdict"]["verdict"] != PASS:
            verb = f"{'is' if one else 'are'} inconclusive"
        said.append(f"{names} {verb}: {reason}")
    said += [explanations.broken_sentence(one) for one in results["broken"]]
    return said + needed_note(results)


def _reason(row: Row, results: Results) -> str | None:
    """Why it has its verdict; None where that is about this deployment alone."""
    found = row["verdict"]
    reference = numbers.cell_name(results["reference"])
    alone = found["collapsed"] or found["collapsed_classes"] or deciding(found)
    if alone or found["verdict"] == FAIL or reference_row(results)["verdict"]["collapsed"]:
        return None
    kept = f"at least {explanations.keep_words(results)} of the gain is retained"
    loses = f"the student loses less than {explanations.margin_words(results)} points"
    if explanations.is_same(row):
        return (
            f"both models give the answers of {reference} to every clip, and its logits to "
            "rounding."
        )
    if found["verdict"] == PASS:
        shown = [kept] if is_retained(found) else []
        shown += [loses] if found["change"]["low"] > -results["rule"]["margin"] else []
        return f"{', and '.join(shown)}."
    if is_caught_up(found, results["rule"]["margin"]):
        return f"{explanations.caught_up_words(row, results)}."
    lack = "trained pairs" if found["pairs_range"] is not None else "clips"
    needed = needed_for_verdict(found, results)
    return f"not enough {lack} to show that {kept} or that {loses}. {needed}"
