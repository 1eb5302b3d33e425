"""Drawings by Matplotlib, which is optional: as SVG, the same bytes whenever they are drawn."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from infer.libraries.install import pip_install
from infer.system.files import write_text
from infer.system.terminal import printable

NUMBERS_TO = 20
"""Classes up to which a confusion matrix has its numbers."""
NAMES_TO = 60
"""Classes up to which it has their names."""
LONGEST = 30  # characters of a name in a drawing

Draw = Callable[[Any], None]
"""Fills a `matplotlib.figure.Figure`."""


def can_draw() -> bool:
    """Whether Matplotlib is installed; it is not loaded here."""
    return find_spec("matplotlib") is not None


def why_not() -> str:
    """What is said where it is not."""
    return f"no drawings: Matplotlib is not installed ({pip_install(extra='report')})"


def write_drawing(file: Path, draw: Draw, *, size: tuple[float, float]) -> None:
    """Write what `draw` makes as an SVG file.

    Args:
        file: where to.
        draw: fills the figure.
        size: width and height in inches.
    """
    import matplotlib
    from matplotlib.figure import Figure  # not pyplot, which looks for a screen

    # A name with a $ is no formula, and text stays text, whatever script it is in.
    settings: dict[Any, Any] = {"svg.fonttype": "none", "svg.hashsalt": "clipduet"}
    settings |= {"text.parse_math": False, "font.size": 9, "axes.axisbelow": True}
    with matplotlib.rc_context(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of characters that Matplotlib's own font lacks
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)
        figure, drawn = Figure(figsize=size, layout="constrained"), io.StringIO()
        draw(figure)
        unwanted = ("Creator", "Date", "Format", "Type")
        figure.savefig(drawn, format="svg", metadata=dict.fromkeys(unwanted))
    write_text(file, drawn.getvalue())


def shown(name: str) -> str:
    """A name as it stands in a drawing."""
    text = printable(name)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "\u2026"


def write_confusion(file: Path, table: np.ndarray, names: Sequence[str]) -> None:
    """Draw a confusion matrix: shares of each label's clips, and their numbers of few classes.

    Args:
        file: where to.
        table: int64 [classes, classes + 1], see `train.evaluation.per_class.confusion`.
        names: of the classes, by label.
    """
    count = len(names)
    unread = bool(table[:, -1].any())
    cells = table if unread else table[:, :-1]
    shares = cells / np.maximum(table.sum(axis=1, keepdims=True), 1)
    columns = [*map(shown, names), *(["not read"] if unread else [])]

    def draw(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        axes.set(xlabel="prediction", ylabel="label")
        if count <= NAMES_TO:
            axes.set_xticks(range(len(columns)), columns, rotation=90)
            axes.set_yticks(range(count), [shown(name) for name in names])
        for row, column in np.argwhere(cells > 0) if count <= NUMBERS_TO else ():
            ink = "white" if shares[row, column] > 0.6 else "black"
            axes.text(column, row, str(cells[row, column]), ha="center", va="center", color=ink)

    side = min(14.0, 3.0 + 0.35 * min(count, NAMES_TO))
    write_drawing(file, draw, size=(side + 0.5, side))
