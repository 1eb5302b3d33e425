"""Points in a plane with their intervals and labels that do not cover each other."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from benchmarks.pages.plots import RIGHT, WIDTH, line, scale, svg, tick_texts, ticks

HEIGHT = 330
TOP, BOTTOM, START = 22, 44, 46
RADIUS = 5
LETTER = 8.8  # width of a letter of a label at most, in the drawing's units
LINE = 17  # height of a label
NEAR = 22  # a label further from its point than this has a line to it
FAR = 1.5  # square units of covered drawing that a label does not go one unit further for
WIDE = 6.0  # latencies that differ by more than this factor need a logarithmic axis


@dataclass(frozen=True)
class Point:
    """A place with the interval of its height, and a CSS class."""

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
    text: str
    style: str = "zero"


Box = tuple[float, float, float, float]  # left, top, right, bottom


def scatter_plot(
    title: str, points: Sequence[Point], levels: Sequence[Level], *, x_axis: str, y_axis: str
) -> str:
    """Points over x (from zero, or logarithmic where they lie far apart), levels across."""
    lowest = min([point.low for point in points] + [level.y for level in levels])
    highest = max([point.high for point in points] + [level.y for level in levels])
    margin = 0.08 * (highest - lowest) or 0.5
    lowest, highest = lowest - margin, highest + 3 * margin  # labels have room at the top
    at_x, place_x = _x_axis([point.x for point in points])

    def place_y(value: float) -> float:
        return TOP + (HEIGHT - TOP - BOTTOM) * (highest - value) / (highest - lowest)

    at_y = ticks(lowest, highest)
    parts = [line(START, place_y(tick), WIDTH - RIGHT, place_y(tick), "grid") for tick in at_y]
    for tick, text in zip(at_y, tick_texts(at_y), strict=True):
        y = place_y(tick) + 4.5
        parts.append(f'<text class="tick left" x="{START - 6}" y="{y:.1f}">{escape(text)}</text>')
    for tick, text in at_x:
        parts.append(line(place_x(tick), TOP, place_x(tick), HEIGHT - BOTTOM, "grid"))
        parts.append(
            f'<text class="tick" x="{place_x(tick):.1f}" y="{HEIGHT - BOTTOM + 16}">{text}</text>'
        )
    taken: list[Box] = []
    for level in levels:
        y = place_y(level.y)
        parts.append(line(START, y, WIDTH - RIGHT, y, level.style))
        taken.append((START, y - 1, WIDTH, y + 1))
    for point in points:
        x, y = place_x(point.x), place_y(point.y)
        top, bottom = place_y(point.high), place_y(point.low)
        parts.append(line(x, top, x, bottom, f"whisker {point.style}"))
        parts += [line(x - 3, end, x + 3, end, f"whisker {point.style}") for end in (top, bottom)]
        parts.append(
            f'<circle class="dot {point.style}" cx="{x:.1f}" cy="{y:.1f}" r="{RADIUS}"></circle>'
        )
        taken.append((x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS))
        taken.append((x - 2, top, x + 2, bottom))
    places = [(one.text, WIDTH - RIGHT, place_y(one.y), "level") for one in levels if one.text]
    places += [(point.label, place_x(point.x), place_y(point.y), "point") for point in points]
    for text, x, y, style in places:
        anchor, at, baseline = _free_place(text, x, y, taken)
        box = _box(text, anchor, at, baseline)
        taken.append(box)
        if style == "point" and abs(baseline - y) > NEAR:
            end = box[3] - 2 if baseline < y else box[1] + 3
            parts.append(line(x, y, min(max(x, box[0] + 4), box[2] - 8), end, "leader"))
        parts.append(
            f'<text class="{style} {anchor}" x="{at:.1f}" y="{baseline:.1f}">{escape(text)}</text>'
        )
    parts.append(
        f'<text class="axis" x="{(START + WIDTH) / 2}" y="{HEIGHT - 6}">{escape(x_axis)}</text>'
    )
    parts.append(f'<text class="tick start" x="4" y="13">{escape(y_axis)}</text>')
    return svg(title, HEIGHT, parts)


def _x_axis(
    values: Sequence[float],
) -> tuple[list[tuple[float, str]], Callable[[float], float]]:
    """Ticks with their texts, and where a value lies."""
    if max(values) <= WIDE * min(values):
        high = 1.08 * max(values)
        at = ticks(0.0, high)
        return list(zip(at, tick_texts(at), strict=True)), scale(0.0, high, START)
    low, high = math.log10(min(values) / 1.3), math.log10(1.3 * max(values))
    along = scale(low, high, START)
    powers = range(math.floor(low), math.ceil(high) + 1)
    steps = (1, 2, 5) if high - low < 2.2 else (1,)
    at = [factor * 10.0**power for power in powers for factor in steps]
    inside = [tick for tick in at if low <= math.log10(tick) <= high]
    return [(tick, f"{tick:g}") for tick in inside], lambda value: along(math.log10(value))


def _box(text: str, anchor: str, at: float, baseline: float) -> Box:
    width = LETTER * len(text)
    left = at - {"start": 0.0, "middle": 0.5, "end": 1.0}[anchor] * width
    return left, baseline - LINE + 4, left + width, baseline + 4


def _free_place(text: str, x: float, y: float, taken: Sequence[Box]) -> tuple[str, float, float]:
    """Anchor, place and baseline of a label near (x, y): the free place that is nearest.

    A label is anchored at the end that lies at its point, so that it keeps clear of it in any font.
    """
    beside = [("start", x + RADIUS + 4), ("end", x - RADIUS - 4), ("middle", x)]
    places = []
    for anchor, at in beside:
        left, _, right, _ = _box(text, anchor, at, y)
        if right > WIDTH - RIGHT:
            anchor, at = "end", WIDTH - RIGHT
        elif left < START + 2:
            anchor, at = "start", START + 2
        places.append((anchor, at))
    offsets = [4.5, -9.0, 18.0]
    offsets += [step for far in range(2, 16) for step in (4.5 - 8 * far, 4.5 + 8 * far)]
    best, least = (*places[0], y), math.inf
    for offset in offsets:
        for anchor, at in places:
            box = _box(text, anchor, at, y + offset)
            if box[1] < TOP or box[3] > HEIGHT - BOTTOM:
                continue
            cost = sum(_overlap(box, other) for other in taken) + FAR * abs(offset)
            if cost < least:
                best, least = (anchor, at, y + offset), cost
    return best


def _overlap(one: Box, other: Box) -> float:
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return wide * high if wide > 0 and high > 0 else 0.0
