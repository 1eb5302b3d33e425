"""Conditions besides the gain as sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.gate.conditions import CONDITIONS, MET, MISSED
from benchmarks.pages.parts import Badge


def deciding(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The conditions that made a verdict another than the gain alone; none where they did not."""
    if found.get("by_gain", found["verdict"]) == found["verdict"]:
        return []
    missed = [one for one in found["required"] if one["found"] == MISSED]
    return missed or [one for one in found["required"] if one["found"] != MET]


def condition_badge(found: str) -> Badge:
    """How a condition stands, in a word."""
    styles = {MET: Badge("met", "pass"), MISSED: Badge("missed", "fail")}
    return styles.get(found, Badge("inconclusive", "unclear"))


def condition_words(conditions: Sequence[Mapping[str, Any]]) -> str:
    """Each condition with its limit and what was found."""
    return ", and ".join(
        f"{one['name']} is {measured_words(one['interval'])}, allowed {100 * one['limit']:g} "
        f"({CONDITIONS[one['name']].about})"
        for one in conditions
    )


def measured_words(interval: Mapping[str, Any] | None) -> str:
    """An estimate with its interval in points; "not known" where there is none."""
    if interval is None:
        return "not known"
    low, point, high = (f"{100 * interval[end]:.2f}".replace("-", "\u2212")
                        for end in ("low", "point", "high"))  # fmt: skip
    return f"{point} points [{low}, {high}]"
