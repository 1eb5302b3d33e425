"""The gate's outcome as a badge: a small SVG file for a README or a dashboard."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree

from benchmarks.gate.results.summary import overall
from benchmarks.gate.sentences.explanations import VERDICTS
from benchmarks.gate.verdict import FAIL, PASS, UNCLEAR, is_retained, reference_row
from benchmarks.pages import numbers

NAME = "gain retained"
COLOURS = {PASS: "#1a7f37", FAIL: "#cf222e", UNCLEAR: "#8a5a00"}
"""Of page.css by day: white text on them has a contrast above 4.5."""

HEIGHT, PADDING = 20, 6


def badge_words(results: Mapping[str, Any]) -> tuple[str, str]:
    """What the badge says: its name, and the least gain that a deployment retains.

    A verdict other than that all deployments retain the gain is added in a word.
    """
    found = overall(results)
    word = VERDICTS[found]
    least = least_retained(results)
    if least is None:
        return NAME, word if found != PASS else f"{word}, no significant gain"
    share = numbers.percent(least, 0)
    if found == PASS and not all_retained(results):
        return NAME, f"{share}, not shown"
    return NAME, share if found == PASS else f"{share}, {word}"


def all_retained(results: Mapping[str, Any]) -> bool:
    """Whether every deployment passes by the gain, not by the student's accuracy alone."""
    others = [row["verdict"] for row in results["cells"] if row["cell"] != results["reference"]]
    gained = reference_row(results)["verdict"]["gain_is_real"]
    return bool(gained and overall(results) == PASS and all(map(is_retained, others)))


def least_retained(results: Mapping[str, Any]) -> float | None:
    """The least share of the gain that a deployment retains.

    None without a significant gain, where a deployment has no answers, where a model answers one
    class, and where nothing but the reference was run.
    """
    if results["broken"] or reference_row(results)["verdict"]["collapsed"]:
        return None
    left = [row["gain_left"] for row in results["cells"] if row["cell"] != results["reference"]]
    if not left or any(not one["meaningful"] or one["share"] is None for one in left):
        return None
    return min(float(one["share"]["point"]) for one in left)


def badge(results: Mapping[str, Any]) -> str:
    """The badge as an SVG file, the same bytes for the same words."""
    name, value = badge_words(results)
    left, right = (_width(text) + 2 * PADDING for text in (name, value))
    size = {"width": str(left + right), "height": str(HEIGHT)}
    root = ElementTree.Element(
        "svg", {"xmlns": "http://www.w3.org/2000/svg", **size, "role": "img"}
    )
    ElementTree.SubElement(root, "title").text = f"{name}: {value}"
    middle = ElementTree.SubElement(root, "clipPath", {"id": "round"})
    ElementTree.SubElement(middle, "rect", {**size, "rx": "4"})
    shapes = ElementTree.SubElement(root, "g", {"clip-path": "url(#round)"})
    found = overall(results)
    shown = COLOURS[UNCLEAR if found == PASS and not all_retained(results) else found]
    for x, width, colour in ((0, left, "#3d444d"), (left, right, shown)):
        box = {"x": str(x), "width": str(width), "height": str(HEIGHT), "fill": colour}
        ElementTree.SubElement(shapes, "rect", box)
    looks = {"fill": "#ffffff", "text-anchor": "middle", "font-size": "11",
             "font-family": "Verdana, 'DejaVu Sans', sans-serif"}  # fmt: skip
    words = ElementTree.SubElement(root, "g", looks)
    for text, x, width in ((name, 0, left), (value, left, right)):
        # The text takes the room that was reckoned with, in any font.
        place = {"x": f"{x + width / 2:g}", "y": "14", "textLength": str(width - 2 * PADDING)}
        ElementTree.SubElement(words, "text", place).text = text
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _width(text: str) -> int:
    """Of a text in Verdana of 11 pixels: narrow, wide and other characters."""
    return round(sum(3.9 if one in " ,.:il[]" else 11.5 if one in "mwM%" else 7.0 for one in text))
