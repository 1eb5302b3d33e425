"""What 8 bits do to each layer, on the page: the layers with the largest error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from benchmarks.pages import numbers
from benchmarks.pages.parts import Section, Table
from export.int8.layer_errors import sqnr

Results = Mapping[str, Any]

TITLE = "What 8 bits do to each layer"
SHOWN = 10
"""Layers of a file that the page shows; the result file has all."""


def layers_section(results: Results) -> Section:
    """A table for each 8-bit file, or why there is none."""
    if "layers" not in results:
        return Section(TITLE, ["Not measured: the result is of a version of the gate without it."])
    found = results["layers"]
    if not found["artifacts"]:
        return Section(TITLE, ["No deployment with 8 bits was measured."])
    measured = {key: one for key, one in found["artifacts"].items() if "layers" in one}
    sentences = []
    if measured:
        sentences.append(
            "The output of each layer of the student's 8-bit file, compared with the same layer of "
            f"the fp32 file on {found['clips']} of the clips: the relative error, and as SQNR in "
            "dB (20 dB: 10 %, 40 dB: 1 %). The error of a layer holds that of the layers before "
            "it; what rounding its output adds is the last column."
        )
    if len(results["pairs"]) > 1:
        sentences.append("Only the student of the first pair was compared.")
    bullets = [
        f"{_runs(key, one)} was left out: {one['reason'].rstrip('.')}."
        for key, one in found["artifacts"].items()
        if "reason" in one
    ]
    return Section(
        TITLE, sentences, tables=[_table(key, one) for key, one in measured.items()],
        bullets=bullets,
    )  # fmt: skip


def _table(key: str, found: Mapping[str, Any]) -> Table:
    layers = found["layers"]
    rows = [
        [
            one["layer"],
            one["kind"],
            _decibels(one["error"]),
            numbers.NONE if one["error"] is None else numbers.percent(one["error"]),
            _decibels(one["rounding"]),
        ]
        for one in layers[:SHOWN]
    ]
    caption = _runs(key, found)
    if len(layers) > SHOWN:
        caption += f": the {SHOWN} of {len(layers)} layers with the largest error"
    heads = ["layer", "kind", "SQNR, dB", "relative error", "SQNR of its own rounding, dB"]
    return Table(caption, heads, rows, folded=True)


def _runs(key: str, found: Mapping[str, Any]) -> str:
    return f"{key} ({numbers.joined([numbers.cell_name(cell) for cell in found['cells']])})"


def _decibels(error: float | None) -> str:
    if error is None:
        return numbers.NONE
    return f"{sqnr(error):.1f}".replace("-", "\u2212") if error else "no error"
