"""Models that answer one class, and those that no longer recognise some, as sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.pages import numbers

Found = Sequence[Mapping[str, Any]]
Results = Mapping[str, Any]


def collapse_words(found: Found, results: Results) -> str:
    """Which models answer one class, which one, and for how many clips."""
    return " and ".join(
        f"{_model(one, results)} answers {results['data']['classes'][one['class']]} for "
        f"{one['answers']:,} of {one['clips']:,} clips"
        for one in found
    )


def class_collapse_words(found: Found, results: Results) -> str:
    """Which models no longer recognise which classes."""
    reference = numbers.cell_name(results["reference"])
    return " and ".join(
        f"{_model(one, results)} recognises {results['data']['classes'][one['class']]} in "
        f"{one['after']:,} of {one['clips']:,} clips, in {reference} in {one['before']:,}"
        for one in found
    )


def _model(one: Mapping[str, Any], results: Results) -> str:
    """The student, or the student of pair 2 where there are several."""
    several = len(results["pairs"]) > 1
    return f"the {one['model']}" + (f" of pair {one['pair'] + 1}" if several else "")
