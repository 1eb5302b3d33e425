"""The result file of perturbations: it holds the answers, and what follows is worked out anew."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.common.result_file import complete, read
from benchmarks.gate.verdict import FAIL, PASS, UNCLEAR, Rule
from benchmarks.perturb.conditions import apply_conditions
from benchmarks.perturb.figures import figures, word
from benchmarks.stats.resample import Bootstrap, groups_of, settings_of

FORMAT, FORMAT_VERSION = "clipduet-perturb", 1


def read_results(path: Path) -> dict[str, Any]:
    """A result file, its rows worked out anew from its answers.

    Raises:
        BenchmarkError: it is none, or a damaged one.
    """
    made_by = "python -m benchmarks.perturb"
    results = read(path, format=FORMAT, versions=(FORMAT_VERSION,), made_by=made_by)
    with complete(path):
        return {**results, "rows": rows_of(results)}


def rows_of(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The row of each perturbation and deployment, from the answers of a result."""
    given, rule = results["conditions"], results["rule"]
    measured = {
        name: one for name, one in results["perturbations"].items() if one["problem"] is None
    }
    bootstrap: Bootstrap = {**settings_of(given), "groups": groups_of(results["data"])}
    rows = figures(
        {name: one["predictions"] for name, one in measured.items()},
        results["data"]["labels"],
        reference=results["reference"],
        rule=Rule(rule["keep"], rule["margin"], given["level"]),
        bootstrap=bootstrap,
        same={name: one["same"] for name, one in measured.items()},
    )
    for row in rows:
        apply_conditions(row, rule.get("require", {}))
    return rows


def overall(results: Mapping[str, Any]) -> str:
    """`fail` where a verdict fails or something was not measured, else `unclear` where one is."""
    words = [word(row) for row in results["rows"]]
    lacking = [one["problem"] or one["broken"] for one in results["perturbations"].values()]
    if FAIL in words or any(lacking):
        return FAIL
    return UNCLEAR if UNCLEAR in words else PASS
