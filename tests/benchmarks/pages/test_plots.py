"""Charts as SVG: well-formed, named, themed, the same each time; labels that cover nothing."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.pages import plots
from benchmarks.pages.charts import ChartRow, Level, Mark, Point, Rows, Scatter
from benchmarks.pages.plots import free_boxes

matplotlib = pytest.importorskip("matplotlib")

ODD = "A $x$ & <b>B</b> \u2192 C"


def scatter(*latencies: float) -> Scatter:
    points = [Point(f"P{n} {ODD}", x, 70 + n, 69, 75, "pass") for n, x in enumerate(latencies)]
    return Scatter("Plane", points, [Level(71.0), Level(70.0, "limit", "dashed")], "ms", "%")


CHARTS = {
    "intervals": Rows(
        "Gain <1>",
        [
            ChartRow(ODD, "+1", [Mark(1.0, -1.0, 2.0, "baseline"), Mark(1.0, 0.5, None)]),
            ChartRow("open", "", [Mark(0.3, None, None, "unclear")]),
        ],
        "points",
        zero=True,
    ),
    "bars": Rows(
        "Time", [ChartRow("a", "3 ms", parts=[("read", 1.0), ("rank", 2.0)], tail=4.0)] * 2, "ms"
    ),
    "scatter": scatter(2, 3, 5, 5),
}


def texts(drawing: str) -> list[str]:
    return [one.text or "" for one in ElementTree.fromstring(drawing).iter("text")]


@pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)
def test_a_chart_is_one_named_element_that_refers_to_itself_alone(chart: Rows | Scatter) -> None:
    drawing = plots.svg(chart)
    root = ElementTree.fromstring(drawing)
    assert root.tag == "svg" and root.get("role") == "img" and "viewBox" in root.attrib
    assert root[0].tag == "title" and root[0].text == chart.title
    labels = [one.label for one in (chart.rows if isinstance(chart, Rows) else chart.points)]
    assert root[1].tag == "desc" and all(label in (root[1].text or "") for label in labels)
    assert {*labels} <= {*texts(drawing)}
    ids = [one.get("id") for one in root.iter() if "id" in one.attrib]
    used = {one.get("href") for one in root.iter("use")}
    assert len(ids) == len({*ids}) and used <= {f"#{one}" for one in ids}
    assert "http" not in drawing and "url(" not in drawing


@pytest.mark.parametrize("chart", CHARTS.values(), ids=CHARTS)
def test_colours_are_those_of_the_page(chart: Rows | Scatter) -> None:
    drawing = plots.svg(chart)
    assert not re.search(r"#[0-9a-f]{6}\b", drawing)
    style = (Path(plots.__file__).parent / "page.css").read_text(encoding="utf-8")
    light, dark = re.findall(r":root \{(.*?)\}", style, re.DOTALL)
    for theme in (light, dark):
        assert {*re.findall(r"var\((--\w+)\)", drawing)} <= {*re.findall(r"(--\w+):", theme)}
        assert {f"--{name}" for name in plots.STYLES} <= {*re.findall(r"(--\w+):", theme)}


def test_the_same_bytes_each_time_whatever_the_user_has_set() -> None:
    before = {name: plots.svg(chart) for name, chart in CHARTS.items()}
    with matplotlib.rc_context({"grid.linewidth": 3, "svg.hashsalt": "other"}):
        assert {name: plots.svg(chart) for name, chart in CHARTS.items()} == before
        assert matplotlib.rcParams["grid.linewidth"] == 3


def test_latencies_far_apart_are_drawn_on_a_logarithmic_axis() -> None:
    assert {"2", "5", "10", "100"} <= {*texts(plots.svg(scatter(2, 150)))}
    assert "100" not in texts(plots.svg(scatter(20, 70)))


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(0, 320), st.floats(0, 260)), min_size=1, max_size=9),
    st.floats(20, 130),
)
def test_labels_are_inside_and_cover_nothing(
    points: list[tuple[float, float]], width: float
) -> None:
    places, inside = np.array(points), np.array([0.0, 0.0, 320.0, 260.0])
    marks = np.hstack([places - 3, places + 3])
    found = free_boxes(places, np.array([[width, 12.0]] * len(points)), marks, inside)
    assert found.shape == (len(points), 4)
    assert np.allclose(found[:, 2:] - found[:, :2], (width, 12.0))
    assert (found[:, :2] >= inside[:2]).all() and (found[:, 2:] <= inside[2:]).all()
    everything = [*found, *marks]
    for number, one in enumerate(found):
        for other in everything[number + 1 :]:
            assert (one[:2] >= other[2:]).any() or (other[:2] >= one[2:]).any()
