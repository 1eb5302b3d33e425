"""Clips whose answer changed, on the page: their frames, and what was answered before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.gate.flipped_clips import LOST, FlippedClip, Flips, Network, Sheets
from benchmarks.pages import numbers
from benchmarks.pages.parts import Gallery, Section, Sheet
from infer.clips.jpeg import data_uri
from infer.system.terminal import counted

Results = Mapping[str, Any]

TITLE = "Clips that flipped"
NAMES = {"baseline": "baseline", "student": "DML student"}


def flips_section(results: Results, sheets: Sheets | str) -> Section:
    """Pictures of each kind of flip, or why there are none.

    Args:
        results: the gate's.
        sheets: beside them, or the reason why there are none.
    """
    if isinstance(sheets, str):
        return Section(TITLE, [f"No pictures: {sheets.rstrip('.')}."])
    if not sheets.kinds:
        return Section(TITLE, ["No answer flipped."])
    return Section(
        TITLE,
        [
            "The frames that the student sees, and what was answered before and after the change, "
            "with its probability. Of each kind those come first whose new answer is the most "
            "confident."
        ],
        galleries=[_gallery(results, kind, sheets.pictures) for kind in sheets.kinds],
    )


def _gallery(results: Results, kind: Flips, pictures: Mapping[int, bytes]) -> Gallery:
    way = "right to wrong" if kind.way == LOST else "wrong to right"
    shown = len(kind.shown)
    count = counted(kind.clips, "clip")
    if shown < kind.clips:
        count += f", {shown} shown"
    return Gallery(
        f"{_step(kind)}, {way}: {count}",
        [_sheet(results, kind, one, pictures.get(one.clip)) for one in kind.shown],
    )


def _sheet(results: Results, kind: Flips, one: FlippedClip, picture: bytes | None) -> Sheet:
    data = results["data"]
    classes = data["classes"]
    said = [
        f"{_short(network, kind)}: {classes[_answer(results, network, one)]} "
        f"{numbers.percent(chance, 0)}"
        for network, chance in ((kind.before, one.before), (kind.after, one.after))
    ]
    where = data["paths"][one.clip] if "paths" in data else f"clip {one.clip + 1} of the list"
    if len(results["pairs"]) > 1:
        where += f", pair {one.pair + 1}"
    if picture is None:
        where += ", which could not be read again for a picture"
    label = f"label: {classes[data['labels'][one.clip]]}"
    source = None if picture is None else data_uri(picture)
    return Sheet(source, ["; ".join([label, " \u2192 ".join(said)]), where])


def _answer(results: Results, network: Network, one: FlippedClip) -> int:
    row = next(row for row in results["cells"] if row["cell"] == network.cell)
    return int(row["pairs"][one.pair][network.model]["predictions"][one.clip])


def _step(kind: Flips) -> str:
    """What replaces what."""
    after = numbers.cell_name(kind.after.cell)
    if kind.before.model != kind.after.model:
        return f"{NAMES[kind.after.model]} instead of {NAMES[kind.before.model]}, in {after}"
    return f"{NAMES[kind.after.model]} in {after} instead of {numbers.cell_name(kind.before.cell)}"


def _short(network: Network, kind: Flips) -> str:
    """What distinguishes a network from the other one."""
    if kind.before.model != kind.after.model:
        return NAMES[network.model]
    return numbers.short_name(network.cell)
