"""What both models gained and lost in each deployment, as sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.pages.numbers import (
    NOT_DISTINGUISHABLE,
    cell_name,
    interval,
    joined,
    level,
    p_value,
    percent,
    span,
)


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
        by_pairs = gain.get("by_pairs")
        if by_pairs is not None and by_pairs["low"] <= 0 <= by_pairs["high"]:
            return f"{said}; but the pairs alone, being few, do not settle it ({span(by_pairs)})."
        return f"{said}."
    if gain["only_first"] + gain["only_second"] == 0:
        return (
            f"In {name} both models answer every one of the {gain['clips']} clips equally well: "
            f"the gain is zero, {NOT_DISTINGUISHABLE}."
        )
    if gain["point"] == 0:
        return f"In {name} the gain is {NOT_DISTINGUISHABLE} ({sure}): {counts}."
    word = "gain" if gain["point"] > 0 else "loss"
    return (
        f"In {name} the measured {word} of {much} of top-1 is {NOT_DISTINGUISHABLE} ({sure}): "
        f"{counts}."
    )


def retained_sentences(results: Mapping[str, Any]) -> list[str]:
    """How much of the reference's gain the deployments keep; those that change nothing in one."""
    reference = results["reference"]
    others = [row for row in results["cells"] if row["cell"] != reference]
    still = [cell_name(row["cell"]) for row in others if unchanged(row)]
    said = []
    if still:
        verb = "changes" if len(still) == 1 else "change"
        said.append(
            f"{joined(still)} {verb} nothing: the gain is that of {cell_name(reference)} to the "
            "last clip."
        )
    return said + [retained_sentence(row, reference) for row in others if not unchanged(row)]


def retained_sentence(row: Mapping[str, Any], reference: str) -> str:
    """How much of the reference's gain a deployment keeps that changed some answers."""
    name, whole = cell_name(row["cell"]), cell_name(reference)
    change, left = row["gain_change"], row["gain_left"]
    if change["distinguishable"]:
        verb = "adds to" if change["point"] > 0 else "takes from"
        moved = f"{name} {verb} the gain: {interval(change)} points"
    else:
        moved = (
            f"The change of the gain in {name} is {NOT_DISTINGUISHABLE}: {interval(change)} points"
        )
    if not left["meaningful"] or left["share"] is None:
        return (
            f"{moved}. The retained share of the gain is not meaningful here, because the "
            f"gain in {whole} itself is not a clear gain."
        )
    share = interval(left["share"], share=True)
    if left["share"]["point"] <= 0:
        return f"{moved}. None of the gain in {whole} is retained (share: {share})."
    return f"{moved}. Retained of the gain in {whole}: {share}."


def unchanged(row: Mapping[str, Any]) -> bool:
    """True where deployment moved no clip at all, in either model."""
    changes = [row[model]["change"] for model in ("baseline", "student")]
    return not any(one["only_first"] + one["only_second"] for one in changes)


def change_sentence(model: str, cell: str, reference: str, part: Mapping[str, Any]) -> str:
    """What deployment did to one model."""
    change = part["change"]
    who = "the DML student" if model == "student" else "the baseline"
    same = f"{percent(part['agreement'], 2)} of its answers are those of {cell_name(reference)}"
    if change["only_first"] + change["only_second"] == 0:
        return f"{cell_name(cell)}, {who}: no clip turned right or wrong; {same}."
    if change["distinguishable"]:
        verb = "gains" if change["point"] > 0 else "loses"
        return (
            f"{cell_name(cell)}, {who}: {verb} {abs(100 * change['point']):.2f} points "
            f"({level(change)} interval {span(change)}{_tested(change)}); {same}."
        )
    return (
        f"{cell_name(cell)}, {who}: the change of {interval(change)} points is "
        f"{NOT_DISTINGUISHABLE}{_tested(change)}; {same}."
    )


def _tested(value: Mapping[str, Any]) -> str:
    """The p-value of McNemar's test, where there is one pair."""
    return "" if value["p"] is None else f"; {p_value(value['p'])}"
