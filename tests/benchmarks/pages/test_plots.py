"""Labels of a scatter plot: all there, inside the drawing, and not on top of each other."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from benchmarks.pages.plots import WIDTH
from benchmarks.pages.scatter import HEIGHT, LETTER, Level, Point, scatter_plot

WIDTHS = {"start": 0.0, "middle": 0.5, "end": 1.0}
TEXT = re.compile(r'<text class="(?:point|level) (\w+)" x="([\d.]+)" y="([\d.]+)">([^<]+)</text>')


def drawn(points: list[tuple[float, float, float]]) -> str:
    marks = [
        Point(f"Runtime {n} int8", x, y, y - spread, y + spread, "pass")
        for n, (x, y, spread) in enumerate(points)
    ]
    return scatter_plot("Plot", marks, [Level(70.0, "margin")], x_axis="ms", y_axis="top-1, %")


@given(
    st.lists(
        st.tuples(st.floats(0.5, 300), st.floats(60, 80), st.floats(0, 3)), min_size=1, max_size=9
    )
)
def test_labels_are_all_there_and_inside(points: list[tuple[float, float, float]]) -> None:
    found = TEXT.findall(drawn(points))
    assert {text for *_, text in found} == {f"Runtime {n} int8" for n in range(len(points))} | {
        "margin"
    }
    for anchor, at, baseline, text in found:
        width = LETTER * len(text)
        left = float(at) - WIDTHS[anchor] * width
        assert left >= 0 and left + width <= WIDTH and 0 < float(baseline) < HEIGHT


def test_labels_of_points_side_by_side_do_not_cover_each_other() -> None:
    found = TEXT.findall(drawn([(10 + n / 4, 70 + n / 10, 0.5) for n in range(7)]))
    boxes = []
    for anchor, at, baseline, text in found:
        left = float(at) - WIDTHS[anchor] * LETTER * len(text)
        boxes.append((left, float(baseline) - 11, left + LETTER * len(text), float(baseline) + 3))
    for number, one in enumerate(boxes):
        for other in boxes[:number]:
            wide = min(one[2], other[2]) - max(one[0], other[0])
            high = min(one[3], other[3]) - max(one[1], other[1])
            assert wide <= 0 or high <= 0


def test_latencies_far_apart_are_drawn_on_a_logarithmic_axis() -> None:
    ticks = re.findall(r'class="tick" [^>]*>([\d.]+)<', drawn([(2, 70, 1), (150, 71, 1)]))
    assert {"2", "5", "10", "100"} <= set(ticks)
    assert "100" not in re.findall(r'class="tick" [^>]*>([\d.]+)<', drawn([(20, 70, 1)]))
