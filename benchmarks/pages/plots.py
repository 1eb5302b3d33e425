"""Charts drawn by Matplotlib, as SVG elements that take their colours from the page.

Text stays text. It is laid out in DejaVu Sans, which ships with Matplotlib and is wider than what
browsers show instead of it: labels that are clear of each other here are so there.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from benchmarks.pages.charts import Rows, Scatter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Boxes = NDArray[np.float64]  # [number, 4]: left, bottom, right, top

WIDTH = 380  # points, which are CSS pixels where the page shows the drawing in its own size
ROW, AXIS, SIDE = 46, 38, 12  # heights of a row and of an axis with its name, and a margin
PLANE, ABOVE, BESIDE = 330, 26, 46  # of a scatter: height, and room for names and numbers of y
GAP = 3  # between a label and what is beside it
LEADER = 12  # a label further from its point than this has a line to it
WIDE = 6.0  # values that differ by more than this factor need a logarithmic axis
STEP, FAR = 5, 200  # grid of places for a label around its point

STYLES = (
    *("text", "soft", "line", "card", "student", "baseline", "pooled"),
    *("pass", "fail", "unclear", "reference", "read", "preprocess", "network", "rank"),
)
"""Colours of page.css, a variable each."""
SHAPES = {"reference": "s", "unclear": "D", "fail": "X"}
"""Markers besides the dot; legends have the same, by page.css."""

Name = tuple[str, Sequence[float], dict[str, Any]]  # a text, its place in pixels, its looks


def svg(chart: Rows | Scatter) -> str:
    """The chart as an SVG element, the same bytes whenever it is drawn.

    Raises:
        ImportError: Matplotlib is not installed.
    """
    import matplotlib
    from matplotlib.figure import Figure

    settings: dict[Any, Any] = {
        "svg.fonttype": "none", "svg.hashsalt": "clipduet", "text.parse_math": False,
        "figure.dpi": 72, "font.sans-serif": ["DejaVu Sans"], "font.size": 13,
        "text.color": _ink("text"), "grid.color": _ink("line"), "axes.axisbelow": True,
        "axes.labelsize": 12, "axes.labelcolor": _ink("soft"),
    }  # fmt: skip
    for axis in ("xtick", "ytick"):
        settings |= {f"{axis}.labelsize": 12, f"{axis}.labelcolor": _ink("soft")}
        settings |= {f"{axis}.major.size": 0}
    with matplotlib.rc_context():
        matplotlib.rcdefaults()  # a user's own settings are not for this page
        matplotlib.rcParams.update(settings)
        figure, file = Figure(), io.BytesIO()
        words = _rows(chart, figure) if isinstance(chart, Rows) else _scatter(chart, figure)
        unwanted = ("Creator", "Date", "Format", "Type")
        figure.savefig(file, format="svg", metadata=dict.fromkeys(unwanted), transparent=True)
    return _themed(file.getvalue(), chart.title, "; ".join(words))


def _rows(chart: Rows, figure: Figure) -> list[str]:
    axes = _axes(figure, len(chart.rows) * ROW + AXIS, SIDE, 0, chart.axis)
    marks = [mark for row in chart.rows for mark in row.marks]
    known = [end for one in marks for end in (one.value, one.low, one.high) if end is not None]
    sums = [sum(length for _, length in row.parts) for row in chart.rows]
    longest = max(*sums, *(row.tail for row in chart.rows), 0.0)
    left, right = _padded([*known, longest, 0.0] if chart.zero or longest else known, 0.06)
    axes.set(xlim=(0.0 if longest else left, right), ylim=(len(chart.rows) - 0.5, -0.5))
    axes.yaxis.set_visible(False)
    for number, (row, end) in enumerate(zip(chart.rows, sums, strict=True)):
        above, middle, across = number - 0.16, number + 0.18, axes.get_yaxis_transform()
        axes.text(0, above, row.label, weight="bold", transform=across)
        axes.text(1, above, row.text, ha="right", transform=across)
        if chart.zero:  # beside the marks only, so that it crosses no label
            axes.plot([0, 0], [number - 0.04, number + 0.42], "--", color=_ink("text"), lw=1.2)
        start = 0.0
        for style, length in row.parts:
            axes.barh(middle, length, 0.3, start, color=_ink(style))
            start += length
        if row.tail > end:
            _line(axes, (end, row.tail), (middle, middle), "soft", "|", [1])
        for order, mark in enumerate(row.marks):
            y = middle + 0.2 * (order - (len(row.marks) - 1) / 2)
            ends = (
                left if mark.low is None else mark.low,
                right if mark.high is None else mark.high,
            )
            capped = [n for n, end in enumerate((mark.low, mark.high)) if end is not None]
            _line(axes, ends, (y, y), mark.style, "|", capped)
            _dot(axes, mark.value, y, mark.style)
    return [f"{row.label}: {row.text}" for row in chart.rows]


def _scatter(chart: Scatter, figure: Figure) -> list[str]:
    axes = _axes(figure, PLANE, BESIDE, ABOVE, chart.axis)
    figure.text(4 / WIDTH, 1 - 13 / PLANE, chart.y_axis, color=_ink("soft"), fontsize=12)
    across = [point.x for point in chart.points]
    axes.set_xlim(*_padded(across, 0.45))
    if max(across) > WIDE * min(across):
        axes.set_xscale("log")
        axes.set_xlim(min(across) / 1.3, max(across) * 1.3)
        axes.minorticks_off()
        axes.locator_params("x", subs=(1, 2, 5))
        axes.xaxis.set_major_formatter("{x:g}")
    ends = [end for point in chart.points for end in (point.y, point.low, point.high)]
    axes.set_ylim(*_padded([*ends, *(level.y for level in chart.levels)], 0.12))
    names: list[Name] = []
    taken: list[Sequence[float]] = []
    onto, (left, _, right, _) = axes.transData.transform, axes.bbox.extents
    for level in chart.levels:
        axes.axhline(level.y, color=_ink("soft"), lw=1.2, zorder=1.5, linestyle=level.line)
        y = onto((1.0, level.y))[1]
        taken.append((left, y - 1, right, y + 1))
        names.append((level.text, (right, y), {"color": _ink("soft"), "fontsize": 12}))
    for point in chart.points:
        _line(axes, (point.x, point.x), (point.low, point.high), point.style, "_", [0, 1])
        _dot(axes, point.x, point.y, point.style)
        (x, low), (_, y), (_, high) = onto(
            [(point.x, end) for end in (point.low, point.y, point.high)]
        )
        taken += [(x - 2, low, x + 2, high), (x - 5, y - 5, x + 5, y + 5)]
        names.append((point.label, (x, y), {"weight": "bold"}))
    _name(axes, names, np.array(taken))
    return [f"{point.label}: {point.x:.3g}, {point.y:.2f}" for point in chart.points]


def _name(axes: Axes, names: Sequence[Name], taken: Boxes) -> None:
    """Write texts near their places where they cover nothing."""
    from matplotlib.transforms import IdentityTransform

    pixels = IdentityTransform()
    texts = [axes.text(0, 0, name, transform=pixels, va="center", **how) for name, _, how in names]
    sizes = np.add([text.get_window_extent().size for text in texts], (2 * GAP, 0))
    places = np.array([place for _, place, _ in names])
    boxes = free_boxes(places, sizes, taken, axes.bbox.extents)
    for text, (x, y), (left, bottom, right, top) in zip(texts, places, boxes, strict=True):
        # Anchored at the side of its point, a label keeps clear of it in any font.
        side = "left" if left > x else "right" if right < x else "center"
        text.set(
            x={"left": left + GAP, "right": right - GAP}.get(side, (left + right) / 2), ha=side
        )
        text.set(y=(bottom + top) / 2)
        near = np.clip((x, y), (left, bottom), (right, top))
        if np.hypot(*(near - (x, y))) > LEADER:
            axes.plot((x, near[0]), (y, near[1]), lw=0.8, color=_ink("soft"), transform=pixels)


def _axes(figure: Figure, height: float, left: float, top: float, name: str) -> Axes:
    figure.set_size_inches(WIDTH / 72, height / 72)
    wide, high = 1 - (left + SIDE) / WIDTH, 1 - (top + AXIS) / height
    axes = figure.add_axes((left / WIDTH, AXIS / height, wide, high), xlabel=name)
    axes.spines[:].set_visible(False)
    axes.locator_params(nbins=6, steps=[1, 2, 5, 10])
    axes.grid()
    return axes


def _line(
    axes: Axes, x: Sequence[float], y: Sequence[float], style: str, cap: str, capped: Sequence[int]
) -> None:
    """A line with caps at the ends that are numbered."""
    axes.plot(
        x, y, marker=cap, markersize=8, markevery=capped, color=_ink(style), linewidth=2,
        solid_capstyle="butt",
    )  # fmt: skip


def _dot(axes: Axes, x: float, y: float, style: str) -> None:
    hollow = style == "baseline"
    axes.plot(
        x, y, SHAPES.get(style, "o"), markersize=8, color=_ink(style), zorder=3,
        markerfacecolor=_ink("card" if hollow else style), markeredgewidth=2 if hollow else 0,
    )  # fmt: skip


def _padded(values: Sequence[float], share: float) -> tuple[float, float]:
    """From the least to the largest, and a share of that on each side."""
    margin = share * (max(values) - min(values)) or 0.5
    return min(values) - margin, max(values) + margin


def _ink(style: str) -> str:
    """A colour that stands for a colour of the page."""
    return f"#0fe0{STYLES.index(style):02x}"


def _themed(drawn: bytes, title: str, words: str) -> str:
    """What Matplotlib wrote, as an element of a page: its colours, its font, no name used twice."""
    root = ElementTree.fromstring(drawn)
    own = re.sub(r"\W+", "-", title.lower())
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]  # HTML knows without namespaces
        element.text, element.tail = (element.text or "").strip(), "\n"
        given, element.attrib = dict(element.attrib), {}
        for name, value in given.items():
            name = name.rpartition("}")[2]
            if name == "id" and element.tag != "g":
                value = f"{own}-{value}"
            elif name == "href":
                value = f"#{own}-{value[1:]}"
            elif name == "style":
                value = re.sub("#0fe0(..)", lambda ink: f"var(--{STYLES[int(ink[1], 16)]})", value)
                value = value.replace("'DejaVu Sans', sans-serif", "system-ui, sans-serif")
            elif name in ("id", "clip-path", "width", "height", "version"):
                continue
            element.set(name, value)
    for child in root.findall("defs"):  # clips, which nothing needs, and a style of all elements
        root.remove(child)
    root.set("role", "img")
    for place, (name, text) in enumerate((("title", title), ("desc", words))):
        element = ElementTree.Element(name)
        element.text = text
        root.insert(place, element)
    return ElementTree.tostring(root, encoding="unicode")


def free_boxes(points: Boxes, sizes: Boxes, taken: Boxes, inside: Sequence[float]) -> Boxes:
    """For each label the nearest box that covers nothing, or the least where all cover something.

    Args:
        points: [labels, 2], x and y.
        sizes: [labels, 2], width and height.
        taken: [number, 4], what must not be covered.
        inside: left, bottom, right and top of the plot.

    Returns:
        [labels, 4], in the order of the points.
    """
    grid = np.arange(-FAR, FAR + 1, STEP)
    steps = np.stack(np.meshgrid(grid, grid), axis=-1).reshape(-1, 2)
    low, high = np.array(inside[:2]), np.array(inside[2:])
    for point, size in zip(points, sizes, strict=True):
        boxes = np.hstack([point + steps - size / 2, point + steps + size / 2])
        outside = ((boxes[:, :2] < low) | (boxes[:, 2:] > high)).any(axis=1)
        over = (boxes[:, None, :2] < taken[:, 2:]) & (boxes[:, None, 2:] > taken[:, :2])
        covered = over.all(axis=2).sum(axis=1)
        gap = np.hypot(*np.maximum(np.abs(steps) - size / 2, 0).T)
        # Of two at the same distance the one in the middle of a side.
        best = np.lexsort((gap + 0.05 * np.hypot(*steps.T), covered, outside))[0]
        taken = np.vstack([taken, boxes[best]])
    return taken[len(taken) - len(points) :]
