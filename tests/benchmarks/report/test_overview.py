"""What the report shows first, and its badge."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.gate.sentences.explanations import verdict_sentence
from benchmarks.pages import numbers
from benchmarks.report.badge import COLOURS, badge, badge_words
from benchmarks.report.overview import overview

Make = Callable[..., dict[str, Any]]


def test_three_numbers_are_those_of_the_result(make_results: Make) -> None:
    results = make_results(gain=0.04, int8_loss=0.0)
    found = overview(results)
    assert (found.verdict.style, found.answer.split()[0]) == ("pass", "Yes.")
    gain, retained, latency = found.figures
    whole, int8 = results["cells"][0], results["cells"][2]
    assert gain.value == f"{numbers.points(whole['gain']['point'])} points"
    assert numbers.span(whole["gain"]) in gain.note
    # int8 is the fastest here, and passes.
    assert retained.value == numbers.percent(int8["gain_left"]["share"]["point"], 0)
    assert "ONNX Runtime int8" in retained.note and "ONNX Runtime int8" in latency.note
    stages = results["speed"]["cells"][2]["stages"]
    assert latency.value == f"{numbers.milliseconds(stages['total']['p50'])} ms"
    assert numbers.percent(stages["read"]["p50"] / stages["total"]["p50"], 0) in latency.note
    assert "configs/student.yaml" in found.about and "2,000 clips, 6 classes" in found.about


@pytest.mark.parametrize(
    ("given", "style", "first", "badge_says"),
    [
        ({"gain": 0.04, "int8_loss": 0.2}, "fail", "Not in every", ", fails"),
        ({"gain": 0.0, "int8_loss": 0.01}, "unclear", "The gain itself", "inconclusive"),
        ({"gain": 0.04, "clips": 300}, "unclear", "Not shown in every", ", inconclusive"),
    ],
    ids=["lost", "no gain", "few clips"],
)
def test_other_outcomes_are_told_in_words_and_colour(
    make_results: Make, given: dict[str, Any], style: str, first: str, badge_says: str
) -> None:
    results = make_results(**given)
    found = overview(results)
    assert found.verdict.style == style and found.answer.startswith(first)
    assert badge_words(results)[1].endswith(badge_says)
    assert COLOURS[style] in badge(results)


@pytest.mark.parametrize(
    ("wins", "verdict", "first", "badge_says"),
    [(0.007, "pass", "Not shown for all", ", not shown"), (0.03, "unclear", "Not shown in", "ive")],
    ids=["somewhat", "nearly"],
)
def test_a_student_that_loses_nothing_is_no_proof_where_the_baseline_catches_up(
    wins: float, verdict: str, first: str, badge_says: str, make_results: Make
) -> None:
    results = make_results(gain=0.04, int8_loss=0.0, baseline_wins=wins, clips=5000)
    int8 = results["cells"][2]
    assert int8["verdict"]["verdict"] == verdict and int8["verdict"]["change"]["low"] > -0.005
    assert overview(results).answer.startswith(first)
    assert badge_words(results)[1].endswith(badge_says)
    assert COLOURS["unclear"] in badge(results) and COLOURS["pass"] not in badge(results)
    caught_up = "the baseline gains by the deployment" in verdict_sentence(int8, results)
    assert caught_up is (verdict == "unclear")
    assert int8["verdict"]["clips_range"] is None


def test_what_was_not_measured_is_a_dash(make_results: Make) -> None:
    results = make_results(gain=0.0, int8_loss=0.01, speed=False)
    _, retained, latency = overview(results).figures
    assert retained.value == latency.value == "—"
    assert "no significant gain" in retained.note and "timed" in latency.note


def test_a_reference_alone_and_a_model_that_collapsed_have_no_answer(make_results: Make) -> None:
    alone = make_results(cells=["paddle:fp32"], speed=False)
    assert overview(alone).answer.startswith("There is no answer yet")
    assert badge_words(alone) == ("gain retained", "inconclusive")
    results = make_results(int8_loss=0.0)
    results["cells"][0]["verdict"]["collapsed"] = [
        {"model": "student", "pair": 0, "class": 1, "answers": 1999, "clips": 2000}
    ]
    assert "collapsed" in results["cells"][0]["verdict"]
    assert "one class" in overview(results).answer and badge_words(results)[1] == "fails"


def test_the_badge_has_the_least_gain_that_is_retained_and_stands_alone(
    make_results: Make, report: Callable[..., Path]
) -> None:
    results = make_results(gain=0.04, int8_loss=0.01)
    least = min(row["gain_left"]["share"]["point"] for row in results["cells"])
    assert least < 1
    text = (report(results) / "badge.svg").read_text(encoding="utf-8")
    root = ElementTree.fromstring(text)
    said = [one.text for one in root.iter() if one.tag.endswith("}text")]
    assert said[0] == "gain retained" and said[1].startswith(numbers.percent(least, 0))
    assert root[0].text == ": ".join(badge_words(results))
    assert re.findall('http[^"]*', text) == ["http://www.w3.org/2000/svg"]
    assert "script" not in text and float(root.attrib["width"]) < 250


def test_the_document_shows_badge_verdict_numbers_and_plot_before_any_section(
    make_results: Make, report: Callable[..., Path]
) -> None:
    results = make_results(pairs=2)
    folder = report(results)
    first = (folder / "report.md").read_text(encoding="utf-8").partition("\n## ")[0]
    page = (folder / "index.html").read_text(encoding="utf-8").partition("<section")[0]
    assert "](badge.svg)" in first and "](gain.svg)" in first and page.count("<svg") == 1
    for text in (first, page.replace("\u00a0", " ")):
        assert "deep mutual learning (DML)" in text
        assert text.index(overview(results).answer) < text.index("end-to-end latency")
        for one in overview(results).figures:
            assert one.value in text
