"""What the student gained, as a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.pages.numbers import NOT_DISTINGUISHABLE, cell_name, level, p_value, span


def gain_sentence(cell: str, gain: Mapping[str, Any]) -> str:
    """What the second model gained on the first in one cell."""
    name, much = cell_name(cell), f"{abs(100 * gain['point']):.2f} points"
    sure = f"{level(gain)} interval {span(gain)}{_tested(gain)}"
    counts = (
        f"one training of each, {gain['only_second']} clips right only with it, "
        f"{gain['only_first']} only without"
    )
    if gain.get("pairs", 1) > 1:
        counts = (
            f"of {gain['pairs']} pairs {gain['pairs_gaining']} gain and {gain['pairs_losing']} lose"
        )
    if gain["distinguishable"]:
        verb = "gains" if gain["point"] > 0 else "loses"
        said = f"In {name} the DML student {verb} {much} of top-1 ({sure}): {counts}"
        return f"{said}."
    if gain["only_first"] + gain["only_second"] == 0:
        return (
            f"In {name} both models answer every one of the {gain['clips']} clips equally well: "
            f"the gain is zero, {NOT_DISTINGUISHABLE}."
        )
    if gain["point"] == 0:
        return f"In {name} the gain is {NOT_DISTINGUISHABLE} ({sure}): {counts}."
    word = "gain" if gain["point"] > 0 else "loss"
    by_pairs = gain.get("by_pairs")
    if by_pairs is not None:
        sure += f"; by Student's t over the pairs {span(by_pairs)}"
    return (
        f"In {name} the measured {word} of {much} of top-1 is {NOT_DISTINGUISHABLE} ({sure}): "
        f"{counts}."
    )


def _tested(value: Mapping[str, Any]) -> str:
    """The p-value of McNemar's test, where there is one pair."""
    return "" if value["p"] is None else f"; {p_value(value['p'])}"
