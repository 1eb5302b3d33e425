"""A chart as a file of its own, for pages that are not the report's."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.pages.charts import Rows, Scatter
from benchmarks.pages.plots import svg

SCALE = 1.25
"""Of a picture beside text of the usual size, to what the report's page shows in a column."""


def picture(chart: Rows | Scatter) -> str:
    """The chart as an SVG file, the same bytes whenever it is drawn.

    Its colours are those of the report's page by day, on white: what shows a picture, such as a
    code host by night, need not know variables.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    colours = _colours()
    drawn = re.sub(r"var\(--(\w+)\)", lambda found: colours[found[1]], svg(chart))
    root = ElementTree.fromstring(drawn)
    _, _, width, height = (float(number) for number in root.attrib["viewBox"].split())
    root.attrib = {
        "xmlns": "http://www.w3.org/2000/svg",
        "xmlns:xlink": "http://www.w3.org/1999/xlink",
        **root.attrib,
        "width": f"{SCALE * width:g}",
        "height": f"{SCALE * height:g}",
    }
    for element in root.iter():
        if "href" in element.attrib:  # readers of SVG 1.1 know no other
            element.attrib["xlink:href"] = element.attrib.pop("href")
    size = {"width": f"{width:g}", "height": f"{height:g}"}
    root.insert(2, ElementTree.Element("rect", size | {"fill": colours["page"]}))
    style = ElementTree.Element("style")  # as in page.css
    style.text = f"text {{ paint-order: stroke; stroke: {colours['page']}; stroke-width: 4px }}"
    root.insert(2, style)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _colours() -> dict[str, str]:
    """The page's colours by day; the same names come again by night."""
    css = Path(__file__).with_name("page.css").read_text(encoding="utf-8")
    day = css.partition("@media")[0]
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", day))
    return colours | {"card": colours["page"]}
