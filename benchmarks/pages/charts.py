"""What a chart shows: values with their intervals, as records that `plots` draws.

A style is the name of a colour in page.css: a model, a verdict, a stage.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Mark:
    """A value with its interval; `low` and `high` None where unbounded."""

    value: float
    low: float | None
    high: float | None
    style: str = "student"


@dataclass(frozen=True)
class ChartRow:
    """A label, numbers in words, and under them marks or a bar.

    Attributes:
        label: name of the row.
        text: the numbers in words.
        marks: points with intervals.
        parts: of the bar, (style, length), one after the other.
        tail: where a line from the bar ends.
    """

    label: str
    text: str
    marks: Sequence[Mark] = ()
    parts: Sequence[tuple[str, float]] = ()
    tail: float = 0.0


@dataclass(frozen=True)
class Point:
    """A place in the plane with the interval of its height."""

    label: str
    x: float
    y: float
    low: float
    high: float
    style: str


@dataclass(frozen=True)
class Level:
    """A horizontal line that means something, named at its right end."""

    y: float
    text: str = ""
    line: str = "solid"


@dataclass(frozen=True)
class Rows:
    """Rows over one axis; `zero` draws the line that means no difference."""

    title: str
    rows: Sequence[ChartRow]
    axis: str
    zero: bool = False


@dataclass(frozen=True)
class Scatter:
    """Points over x, which becomes logarithmic where they lie far apart, and levels across."""

    title: str
    points: Sequence[Point]
    levels: Sequence[Level]
    axis: str
    y_axis: str
