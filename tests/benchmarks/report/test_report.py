"""The report as a reader finds it: the right words, well-formed, alone in its folder."""

from __future__ import annotations

import csv
import io
import json
import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.common.result_file import dump
from benchmarks.gate.results import summary as gate_summary
from benchmarks.gate.sentences import explanations
from benchmarks.pages import numbers
from benchmarks.report.__main__ import main

MakeResults = Callable[..., dict[str, Any]]
VOID = {"meta", "br", "img", "link", "input", "hr"}
ROOT = Path(__file__).resolve().parents[3]
REMAKE = "python -m benchmarks.report reports/NAME/results.json --out reports/NAME"


class Page(HTMLParser):
    """Checks nesting while it reads; collects tags, attributes, text and the rows of tables."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.rows: list[list[str]] = []
        self.styles: list[str] = []
        self.feed(text)
        self.close()
        assert not self.stack, f"never closed: {self.stack}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.stack.append(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("th", "td"):
            self.rows[-1].append("")
        elif ("class", "badge") in attrs:
            self.styles += re.findall(r"var\(--(\w+)\)", dict(attrs)["style"] or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.stack and self.stack[-1] == tag, f"</{tag}> closes {self.stack[-3:]}"
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        if self.stack[-1:] == ["style"]:
            return
        self.text += data
        if {"th", "td"} & {*self.stack}:
            self.rows[-1][-1] += data


def read(folder: Path) -> tuple[Page, str]:
    page = Page((folder / "index.html").read_text(encoding="utf-8"))
    return page, (folder / "report.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "words", "absent"),
    [
        ({"gain": 0.06, "int8_loss": 0.0}, "All 2 deployments pass", numbers.NOT_DISTINGUISHABLE),
        ({"gain": 0.0, "int8_loss": 0.01}, numbers.NOT_DISTINGUISHABLE, "All deployments:"),
        ({"gain": 0.004, "int8_loss": 0.01, "clips": 600}, "not meaningful", "All deployments:"),
        ({"gain": 0.03, "int8_loss": 0.2}, "NVIDIA", "not meaningful"),
        ({"gain": 0.04, "int8_loss": 0.01, "clips": 300}, "not enough clips", "pair 1"),
    ],
    ids=["kept", "none", "small", "lost", "few clips"],
)
def test_page_and_markdown_show_each_deployment_with_its_verdict_and_gain(
    make_results: MakeResults,
    report: Callable[..., Path],
    given: dict[str, Any],
    words: str,
    absent: str,
) -> None:
    results = make_results(**given)
    page, markdown = read(report(results))
    expected = [
        [
            numbers.cell_name(row["cell"]),
            explanations.verdict_name(row["verdict"]),
            *(numbers.percent(row[model]["top1"]["point"], 2) for model in ("baseline", "student")),
            numbers.interval(row["gain"]),
        ]
        for row in results["cells"]
    ]
    shown = [[text.replace("\u00a0", " ") for text in row[:5]] for row in page.rows[1:4]]
    assert shown == expected
    overall, *styles = page.styles
    assert overall == gate_summary.overall(results)
    assert styles[:3] == [row["verdict"]["verdict"] for row in results["cells"]]
    for name, verdict, *values in expected:
        assert f"| {name} | **{verdict}** | {' | '.join(values)} |" in markdown
    for text in (page.text.replace("\u00a0", " "), markdown):
        assert words in text and absent not in text


def test_a_broken_deployment_is_in_the_table_and_explained(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    results = make_results(int8_loss=0.0)
    results["broken"] = [
        {"cell": "openvino:int8", "model": "student", "bundle": "b", "reason": "it gives NaN"}
    ]
    page, markdown = read(report(results))
    assert (
        page.rows[4][:2] == ["OpenVINO int8", "fails"]
        and page.styles[4] == "fail" == page.styles[0]
    )
    assert "student b: it gives NaN" in page.text and "student b: it gives NaN" in markdown


def test_a_model_that_collapsed_before_deployment_is_told_from_one_that_deployment_broke(
    make_results: MakeResults,
) -> None:
    results = make_results(int8_loss=0.0)
    reference, int8 = explanations.reference_row(results), results["cells"][2]
    collapsed = [{"model": "student", "pair": 0, "class": 0, "answers": 99, "clips": 100}]
    int8["verdict"] |= {"verdict": "fail", "collapsed": collapsed}
    assert "before deployment" not in explanations.verdict_sentence(int8, results)
    reference["verdict"]["collapsed"] = collapsed
    said = explanations.verdict_sentence(int8, results)
    assert "before deployment" in said and "train it again" in said


def test_with_several_pairs_the_pairs_that_are_needed_are_said(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    results = make_results(pairs=3, gain=0.05)
    found = results["cells"][2]["verdict"]
    assert found["verdict"] == "unclear"
    found |= {"clips_needed": None, "clips_range": None}
    found |= {"pairs_needed": 7, "pairs_range": [5, 12]}
    page, markdown = read(report(results))
    for text in (page.text, markdown):
        for words in ("5 to 12 trained pairs", "ONNX Runtime int8, pair 3", "seed 13"):
            assert words in text


def test_the_page_stands_alone(make_results: MakeResults, report: Callable[..., Path]) -> None:
    folder = report(make_results())
    assert sorted(file.name for file in folder.iterdir()) == [
        "badge.svg",
        "gain.svg",
        "index.html",
        "report.md",
        "results.csv",
        "results.json",
        "summary.json",
    ]
    text = (folder / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "http://" not in text and "https://" not in text
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert all(value[0] == "#" for name, value in page.attributes if name in ("src", "href"))
    assert "@import" not in text and "url(" not in text
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len({*ids})
    assert page.tags.count("svg") == 4 == page.tags.count("desc") == page.tags.count("title") - 1
    assert ("name", "viewport") in page.attributes
    assert "prefers-color-scheme: dark" in text and "@media (max-width" in text
    (folder / "index.html").unlink()
    assert (report(make_results()) / "index.html").read_text(encoding="utf-8") == text


def test_verdicts_come_first_and_conditions_last(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    folder = report(make_results())
    page, markdown = read(folder)
    titles = re.findall("<h2>(.*?)</h2>", (folder / "index.html").read_text(encoding="utf-8"))
    assert titles == re.findall("^## (.*)$", markdown, re.MULTILINE)
    verdicts, *_, conditions = re.split("^## ", markdown, flags=re.MULTILINE)[1:]
    assert "**reference**" in verdicts
    for condition in ("Example(R) CPU", "onnxruntime 1.20.0", "2030-01-02", "ab" * 32):
        assert condition in conditions and condition in page.text


@pytest.mark.parametrize("name", ["gate/motions", "real/railway/gate"])
def test_the_committed_report_is_that_of_its_result_file(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The page's drawings depend on Matplotlib's version: its text is compared."""
    monkeypatch.chdir(ROOT)
    given = Path("reports", name)
    assert main([str(given / "results.json"), "--out", str(tmp_path)]) == 0
    for file in ("report.md", "results.csv", "summary.json"):
        assert (tmp_path / file).read_bytes() == (given / file).read_bytes(), REMAKE
    new, old = (Page((one / "index.html").read_text("utf-8")).text for one in (tmp_path, given))
    assert new.split() == old.split(), REMAKE
    made, there = (
        [one.text for one in drawn(folder / "gain.svg").iter("text")]
        for folder in (tmp_path, given)
    )
    assert made == there, REMAKE


def drawn(file: Path) -> ElementTree.Element:
    """A picture, its names without the name space."""
    root = ElementTree.fromstring(file.read_text(encoding="utf-8"))
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
    return root


def test_the_main_plot_is_a_picture_of_its_own(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    results = make_results(gain=0.04)
    file = report(results) / "gain.svg"
    given, root = file.read_bytes(), drawn(file)
    said = [one.text or "" for one in root.iter("text")]
    for row in results["cells"]:
        assert numbers.short_name(row["cell"]) in said and numbers.interval(row["gain"]) in said
    assert b"var(" not in given and b"date" not in given.lower()
    assert float(root.attrib["width"]) > 300 and float(root.attrib["height"]) > 100
    file.unlink()
    report(results)
    assert file.read_bytes() == given


def test_the_table_of_numbers_is_that_of_the_result(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    results = make_results()
    text = (report(results) / "results.csv").read_text(encoding="utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["cell"] for row in rows] == [row["cell"] for row in results["cells"]]
    for line, row in zip(rows, results["cells"], strict=True):
        assert line["verdict"] == row["verdict"]["verdict"]
        assert float(line["gain"]) == pytest.approx(row["gain"]["point"], abs=1e-6)
        assert float(line["network_p99_seconds"]) > 0
    assert rows[0]["student_change"] == "" == rows[0]["memory_bytes"]
    assert int(rows[1]["memory_bytes"]) == 61_000_000


def test_strings_of_the_data_are_escaped(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    results = make_results()
    attack = '<script>alert("x")</script>'
    results["data"]["failed"] = [{"path": attack, "error": "a | b\n| c"}]
    results["pairs"][0]["student"]["name"] = attack
    results["left_out"] = [{"what": attack, "reason": attack}]
    results["conditions"]["machine"]["cpu"] = '"><img src=x>'
    folder = report(results)
    text = (folder / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in page.tags and "img" not in page.tags
    assert attack in page.text
    markdown = (folder / "report.md").read_text(encoding="utf-8")
    assert "<script>" not in markdown.replace("\\<script\\>", "")
    assert "a \\| b \\| c" in markdown


def test_every_number_of_the_source_is_kept(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    results = make_results()
    copied = json.loads((report(results) / "results.json").read_text(encoding="utf-8"))
    assert copied == json.loads(json.dumps(results))


def test_a_seed_that_stands_on_the_page_twice_is_explained(
    make_results: MakeResults, make_study: Callable[..., Any], report: Callable[..., Path]
) -> None:
    study = make_study()
    results = make_results()
    origin = results["pairs"][0]["student"]["origin"]
    for seed, said in ((study["seeds"][0], True), (max(study["seeds"]) + 1, False)):
        origin["seed"] = seed
        text = (report(results, study) / "report.md").read_text(encoding="utf-8")
        assert (f"Seed {seed} " in text) == said


def test_one_pair_is_told_where_its_seed_lies_in_the_study(
    make_results: MakeResults, make_study: Callable[..., Any], report: Callable[..., Path]
) -> None:
    study = make_study(gains=(0.05, 0.09, 0.02))
    results = make_results()
    gains = [row["gain"]["point"] for row in study["per_seed"][study["cells"][0]]]
    for seed, gain in zip(study["seeds"], gains, strict=True):
        results["pairs"][0]["student"]["origin"]["seed"] = seed
        text = (report(results, study) / "report.md").read_text(encoding="utf-8")
        assert f"place {sorted(gains, reverse=True).index(gain) + 1} of 3" in text
    results["pairs"][0]["student"]["origin"]["seed"] = 99
    assert "place " not in (report(results, study) / "report.md").read_text(encoding="utf-8")


def test_a_busy_machine_is_told(make_results: MakeResults, report: Callable[..., Path]) -> None:
    results = make_results()
    assert "of 2 cores" not in read(report(results))[1]
    results["speed"]["cores_of_others"] = 1.3
    page, markdown = read(report(results))
    assert "1.3 of 2 cores" in page.text and "1.3 of 2 cores" in markdown


@pytest.mark.parametrize(("network", "said"), [(0.001, True), (0.05, False)])
def test_reading_that_dominates_the_latency_is_told(
    make_results: MakeResults, report: Callable[..., Path], network: float, said: bool
) -> None:
    results = make_results()
    for row in results["speed"]["cells"]:
        stages = row["stages"]
        stages["total"]["p50"] += network - stages["network"]["p50"]
        stages["network"]["p50"] = network
    share = results["speed"]["cells"][0]["stages"]["read"]["p50"] / (0.0048 + network)
    _, markdown = read(report(results))
    assert ("Reading the video dominates" in markdown) == said
    assert (f"{numbers.percent(share, 0)} of the end-to-end latency" in markdown) == said


def test_numbers_of_the_table_are_in_no_sentence_beside_it(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    cells = ["paddle:fp32", "onnxruntime:int8", "openvino:int8", "openvino:bf16"]
    results = make_results(gain=0.05, int8_loss=0.02, cells=cells)
    _, markdown = read(report(results))
    section = markdown.partition("## Every deployment")[2].partition("\n## ")[0]
    bullets = [line for line in section.splitlines() if line.startswith("- ")]
    alike = {row["verdict"]["verdict"] for row in results["cells"][1:]}
    assert 1 <= len(bullets) < 2 + len(cells) and alike
    for row in results["cells"][1:]:
        if row["verdict"]["verdict"] != "fail":
            change = numbers.interval(row["verdict"]["change"])
            assert change in section and not any(change in bullet for bullet in bullets)
        assert sum(numbers.cell_name(row["cell"]) in bullet for bullet in bullets) == 1


def test_without_times_there_is_no_speed_section(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    page, _ = read(report(make_results(speed=False)))
    assert page.tags.count("svg") == 2 and "p50" not in page.text


@pytest.mark.parametrize("package", ["jinja2", "matplotlib"])
def test_a_package_that_is_missing_is_named_and_nothing_is_written(
    make_results: MakeResults, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], package: str,
) -> None:  # fmt: skip
    (tmp_path / "in.json").write_text(dump(make_results()), encoding="utf-8")
    monkeypatch.setitem(sys.modules, package, None)
    assert main([str(tmp_path / "in.json"), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert package in error and ".[report]" in error and not (tmp_path / "out").exists()


def test_every_value_of_a_table_carries_the_head_of_its_column(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    """A phone shows no heads: each value shows its own."""
    text = (report(make_results(pairs=2)) / "index.html").read_text(encoding="utf-8")
    tables = re.findall(r"<table>.*?</table>", text, re.DOTALL)
    assert len(tables) > 3
    for table in tables:
        heads = re.findall(r'<th scope="col">(.*?)</th>', table)
        rows = re.findall(r'<tr><th scope="row">.*?</tr>', table, re.DOTALL)
        assert rows
        for row in rows:
            assert re.findall(r'<td data-label="(.*?)">', row) == heads[1:]
    phone = text.partition("@media (max-width")[2]
    assert "thead { display: none" in phone and "content: attr(data-label)" in phone
