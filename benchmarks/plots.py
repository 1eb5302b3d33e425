"""Plots as inline SVG, drawn by hand: rows from top to bottom, a label above each mark.

Sizes are chosen so that text stays readable when the drawing is squeezed to a phone's width;
colours come from the page's CSS classes, so light and dark pages share one drawing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 440
LEFT, RIGHT = 12, 12
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
    """A bar to p50, continued to p90 and p99."""

    label: str
    p50: float
    p90: float
    p99: float
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
    place = _scale(low, high)
    height = len(rows) * ROW + AXIS
    parts = _axis(_ticks(low, high), place, height, axis)
    if zero:
        parts.append(_line(place(0.0), 4, place(0.0), height - AXIS + 4, "zero"))
    for number, row in enumerate(rows):
        top = number * ROW
        parts += _labels(row.label, row.text, top)
        step = 9 if len(row.marks) > 1 else 0
        for order, mark in enumerate(row.marks):
            middle = top + 31 + step * (order - (len(row.marks) - 1) / 2)
            start = place(mark.low if mark.low is not None else low)
            end = place(mark.high if mark.high is not None else high)
            parts.append(_line(start, middle, end, middle, f"whisker {mark.style}"))
            parts += [
                _line(x, middle - 3, x, middle + 3, f"whisker {mark.style}")
                for x, bound in ((start, mark.low), (end, mark.high))
                if bound is not None
            ]
            parts.append(
                f'<circle class="dot {mark.style}" cx="{place(mark.value):.1f}" '
                f'cy="{middle:.1f}" r="4.5"></circle>'
            )
    return _svg(title, height, parts)


def bar_plot(title: str, bars: Sequence[Bar], *, axis: str) -> str:
    """Bars from zero: solid to p50, lighter to p90, lightest to p99."""
    high = 1.04 * max(bar.p99 for bar in bars) or 1.0
    place = _scale(0.0, high)
    height = len(bars) * ROW + AXIS
    parts = _axis(_ticks(0.0, high), place, height, axis)
    for number, bar in enumerate(bars):
        top = number * ROW
        parts += _labels(bar.label, bar.text, top)
        for end, style in ((bar.p99, "p99"), (bar.p90, "p90"), (bar.p50, "p50")):
            parts.append(
                f'<rect class="bar {style}" x="{place(0.0):.1f}" y="{top + 23}" '
                f'width="{max(place(end) - place(0.0), 0.5):.1f}" height="16"></rect>'
            )
    return _svg(title, height, parts)


def _scale(low: float, high: float) -> Callable[[float], float]:
    width = WIDTH - LEFT - RIGHT
    return lambda value: LEFT + width * (value - low) / (high - low)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers from low to high, about five of them."""
    raw = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= raw)
    first = math.ceil(low / step)
    return [number * step for number in range(first, math.floor(high / step) + 1)]


def _axis(
    ticks: Sequence[float], place: Callable[[float], float], height: int, axis: str
) -> list[str]:
    bottom = height - AXIS + 4
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    parts = [_line(place(tick), 4, place(tick), bottom, "grid") for tick in ticks]
    parts += [
        f'<text class="tick" x="{place(tick):.1f}" y="{bottom + 14}">'
        f"{escape(f'{tick + 0.0:.{digits}f}'.replace('-', chr(0x2212)))}</text>"
        for tick in ticks
        if LEFT + 4 < place(tick) < WIDTH - RIGHT - 4 or place(tick) == LEFT
    ]
    parts.append(f'<text class="axis" x="{WIDTH / 2}" y="{height - 4}">{escape(axis)}</text>')
    return parts


def _labels(label: str, text: str, top: int) -> list[str]:
    return [
        f'<text class="label" x="{LEFT}" y="{top + 16}">{escape(label)}</text>',
        f'<text class="value" x="{WIDTH - RIGHT}" y="{top + 16}">{escape(text)}</text>',
    ]


def _line(x1: float, y1: float, x2: float, y2: float, style: str) -> str:
    return f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"></line>'


def _svg(title: str, height: int, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img"><title>{escape(title)}</title>'
        + "".join(parts)
        + "</svg>"
    )
