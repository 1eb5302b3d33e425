"""The report as one page that needs nothing else: styles, drawings and text in one file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from benchmarks.pages.parts import Overview, Section
from benchmarks.pages.plots import svg


def render(
    title: str, when: str, sections: Sequence[Section], overview: Overview | None = None
) -> str:
    """A complete HTML page; every string is escaped, nothing is loaded from anywhere.

    Args:
        title: the heading.
        when: when and where it was measured.
        sections: in their order.
        overview: what shows first.

    Raises:
        ImportError: Jinja2 or Matplotlib is not installed.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    environment.filters |= {"svg": svg, "unbroken": unbroken}
    page = environment.get_template("page.html.j2")
    return page.render(title=title, when=when, sections=sections, overview=overview)


def unbroken(value: str) -> str:
    """A number stays with its unit, an interval in one piece."""
    text = re.sub(r"(?<=\d) (?=(%|bytes|kB|MB|GB)(?!\w))", "\u00a0", value)
    return re.sub(r"\[[^\]]{1,40}\]", lambda found: found[0].replace(" ", "\u00a0"), text)
