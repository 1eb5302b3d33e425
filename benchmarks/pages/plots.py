"""Plots as inline SVG, drawn by hand: rows from top to bottom, a label above each mark.

Sizes are chosen so that text stays readable when the drawing is squeezed to a phone's width;
colours come from the page's CSS classes, so light and dark pages share one drawing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise

WIDTH = 380
LEFT, RIGHT = 12.0, 12.0
ROW = 46  # height of a row: a line of text and its marks
AXIS = 40


@dataclass(frozen=True)
class Mark:
    """A value with its interval; `low` and `high` None where unbounded."""

    value: float
    low: float | None
    high: float | None
    style: str = "student"  # CSS class: student, baseline, pooled


@dataclass(frozen=True)
class Row:
    """A labelled line of marks, with the numbers in words at its right end."""

    label: str
    marks: Sequence[Mark]
    text: str = ""


@dataclass(frozen=True)
class Bar:
    """A bar of parts, one after the other, and a line on to a tail; all in one unit."""

    label: str
    parts: Sequence[tuple[str, float]]  # CSS class and length
    tail: float
    text: str = ""


def interval_plot(title: str, rows: Sequence[Row], *, axis: str, zero: bool = False) -> str:
    """Values with their intervals, a row each; `zero` draws the line that means no difference."""
    ends = [
        end for row in rows for mark in row.marks for end in (mark.value, mark.low, mark.high)
        if end is not None
    ]  # fmt: skip
    low, high = min(ends), max(ends)
    if zero:
        low, high = min(low, 0.0), max(high, 0.0)
    margin = 0.06 * (high - low) or 0.5
    low, high = low - margin, high + margin
    place = scale(low, high)
    height = len(rows) * ROW + AXIS
    parts = horizontal_axis(ticks(low, high), place, height, axis)
    for number, row in enumerate(rows):
        top = number * ROW
        if zero:  # beside the marks only: the labels above them stay clear
            parts.append(line(place(0.0), top + 21, place(0.0), top + ROW, "zero"))
        parts += _labels(row.label, row.text, top)
        step = 9 if len(row.marks) > 1 else 0
        for order, mark in enumerate(row.marks):
            middle = top + 31 + step * (order - (len(row.marks) - 1) / 2)
            start = place(mark.low if mark.low is not None else low)
            end = place(mark.high if mark.high is not None else high)
            parts.append(line(start, middle, end, middle, f"whisker {mark.style}"))
            parts += [
                line(x, middle - 3, x, middle + 3, f"whisker {mark.style}")
                for x, bound in ((start, mark.low), (end, mark.high))
                if bound is not None
            ]
            parts.append(
                f'<circle class="dot {mark.style}" cx="{place(mark.value):.1f}" '
                f'cy="{middle:.1f}" r="4.5"></circle>'
            )
    return svg(title, height, parts)


def bar_plot(title: str, bars: Sequence[Bar], *, axis: str) -> str:
    """Bars from zero, their parts in their colours, a thin line on to the tail."""
    high = 1.04 * max(max(bar.tail, sum(part for _, part in bar.parts)) for bar in bars) or 1.0
    place = scale(0.0, high)
    height = len(bars) * ROW + AXIS
    parts = horizontal_axis(ticks(0.0, high), place, height, axis)
    for number, bar in enumerate(bars):
        top = number * ROW
        parts += _labels(bar.label, bar.text, top)
        start = 0.0
        for style, length in bar.parts:
            parts.append(
                f'<rect class="bar {style}" x="{place(start):.1f}" y="{top + 23}" '
                f'width="{max(place(start + length) - place(start), 0.3):.1f}" height="14"></rect>'
            )
            start += length
        if bar.tail > start:
            parts.append(line(place(start), top + 30, place(bar.tail), top + 30, "tail"))
            parts.append(line(place(bar.tail), top + 25, place(bar.tail), top + 35, "tail"))
    return svg(title, height, parts)


def scale(low: float, high: float, start: float = LEFT) -> Callable[[float], float]:
    """From a value to its place between `start` and the right edge."""
    width = WIDTH - start - RIGHT
    return lambda value: start + width * (value - low) / (high - low)


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers from low to high, about five of them."""
    raw = (high - low) / about
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= raw)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]


def horizontal_axis(
    at: Sequence[float], place: Callable[[float], float], height: int, axis: str
) -> list[str]:
    """Grid lines over the whole height, numbers and the axis' name below."""
    bottom = height - AXIS + 4
    parts = [line(place(tick), 4, place(tick), bottom, "grid") for tick in at]
    parts += [
        f'<text class="tick" x="{place(tick):.1f}" y="{bottom + 14}">{escape(text)}</text>'
        for tick, text in zip(at, tick_texts(at), strict=True)
        if LEFT + 4 < place(tick) < WIDTH - RIGHT - 4 or place(tick) == LEFT
    ]
    parts.append(f'<text class="axis" x="{WIDTH / 2}" y="{height - 4}">{escape(axis)}</text>')
    return parts


def tick_texts(at: Sequence[float]) -> list[str]:
    """Numbers with as many digits as their steps need."""
    step = min((b - a for a, b in pairwise(at)), default=1.0)
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    return [f"{tick + 0.0:.{digits}f}".replace("-", "\u2212") for tick in at]


def _labels(label: str, text: str, top: int) -> list[str]:
    return [
        f'<text class="label" x="{LEFT}" y="{top + 16}">{escape(label)}</text>',
        f'<text class="value" x="{WIDTH - RIGHT}" y="{top + 16}">{escape(text)}</text>',
    ]


def line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    """A straight line in a style of the page."""
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"></line>'


def svg(title: str, height: int, parts: Sequence[str]) -> str:
    """A whole drawing, as wide as its place on the page."""
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img"><title>{escape(title)}</title>'
        + "".join(parts)
        + "</svg>"
    )
