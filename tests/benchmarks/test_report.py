"""The report as a reader finds it: the right words, well-formed, alone in its folder."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from benchmarks import words
from benchmarks.report import main
from benchmarks.results import dump

MakeResults = Callable[..., dict[str, Any]]
VOID = {"meta", "br", "img", "link", "input", "hr"}


class Page(HTMLParser):
    """Checks nesting while it reads; collects text, attributes and tags."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.stack, f"never closed: {self.stack}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.stack.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.stack and self.stack[-1] == tag, f"</{tag}> closes {self.stack[-3:]}"
        self.stack.pop()

    def handle_data(self, data: str) -> None:
        if not self.stack or self.stack[-1] != "style":
            self.text += data


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write results (and a study) and make the report of them; returns its folder."""
    monkeypatch.chdir(tmp_path)  # no study of the checkout is picked up

    def make(results: dict[str, Any], study: dict[str, Any] | None = None) -> Path:
        (tmp_path / "in.json").write_text(dump(results), encoding="utf-8")
        arguments = [str(tmp_path / "in.json"), "--out", str(tmp_path / "out")]
        if study is not None:
            (tmp_path / "study.json").write_text(dump(study), encoding="utf-8")
            arguments += ["--study", str(tmp_path / "study.json")]
        assert main(arguments) == 0
        return tmp_path / "out"

    return make


def both_texts(folder: Path) -> tuple[str, str]:
    page = Page((folder / "index.html").read_text(encoding="utf-8"))
    return page.text, (folder / "report.md").read_text(encoding="utf-8")


def test_a_strong_gain_is_told_without_hedging(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    for text in both_texts(report(make_results(gain=0.06, int8_loss=0.0))):
        assert "the DML student gains" in text
        assert words.NOT_DISTINGUISHABLE not in text
        assert "would not be meaningful" not in text
        assert "100 % [100 %, 100 %] is left" in text


def test_no_gain_is_told_plainly(make_results: MakeResults, report: Callable[..., Path]) -> None:
    for text in both_texts(report(make_results(gain=0.0, int8_loss=0.0))):
        assert "the gain is zero, not distinguishable from zero" in text
        assert "would not be meaningful" in text and "not meaningful" in text
        assert "the DML student gains" not in text and "is left." not in text


def test_a_small_gain_is_not_sold_as_one(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    for text in both_texts(report(make_results(gain=0.004, int8_loss=0.0, clips=600))):
        assert "the measured gain of" in text and "is not distinguishable from zero" in text
        assert "would not be meaningful" in text


def test_a_lost_gain_is_told(make_results: MakeResults, report: Callable[..., Path]) -> None:
    for text in both_texts(report(make_results(gain=0.03, int8_loss=0.2))):
        assert "takes from the gain" in text
        assert "Nothing of the gain in Paddle Inference fp32 is left" in text
        assert "ONNX Runtime int8 the DML student loses" in text


def test_the_page_stands_alone(make_results: MakeResults, report: Callable[..., Path]) -> None:
    folder = report(make_results())
    assert sorted(file.name for file in folder.iterdir()) == [
        "index.html",
        "report.md",
        "results.json",
    ]
    text = (folder / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "http://" not in text and "https://" not in text
    assert not {"script", "link", "img", "iframe", "object"} & set(page.tags)
    assert not [pair for pair in page.attributes if pair[0] in ("src", "href", "style")]
    assert "@import" not in text and "url(" not in text
    assert page.tags.count("svg") == 4
    assert ("name", "viewport") in page.attributes
    assert "prefers-color-scheme: dark" in text and "@media (max-width" in text


def test_sentences_come_first_and_conditions_last(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    for text in both_texts(report(make_results())):
        order = [
            text.index(head)
            for head in (
                "What DML brought\n",
                "What was left after deployment\n",
                "How sure are we\n",
                "All figures\n",
                "Conditions\n",
            )
        ]
        assert order == sorted(order)
        for condition in ("Example(R) CPU", "onnxruntime 1.20.0", "2030-01-02", "ab" * 32):
            assert condition in text


def test_strings_of_the_data_are_escaped(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    results = make_results()
    attack = '<script>alert("x")</script>'
    results["data"]["failed"] = [{"path": attack, "error": "a | b\n| c"}]
    results["bundles"]["student"]["name"] = attack
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


def test_a_busy_machine_is_told(make_results: MakeResults, report: Callable[..., Path]) -> None:
    results = make_results()
    for text in both_texts(report(results)):
        assert "other programs kept" not in text
    results["latency"]["cores_of_others"] = 1.3
    for text in both_texts(report(results)):
        assert "other programs kept 1.3 of 2 cores busy" in text


def test_without_times_there_is_no_speed_section(
    make_results: MakeResults, report: Callable[..., Path]
) -> None:
    for text in both_texts(report(make_results(latency=False))):
        assert "How fast it is" not in text and "Conditions" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["cells"][2]["student"]["top1"].update(point=0.99), "do not follow"),
        (lambda r: r["cells"][1]["student"]["predictions"].pop(), "not one answer a clip"),
        (lambda r: r["cells"][0]["baseline"].update(macro_f1=0.1), "macro_f1 do not follow"),
        (lambda r: r.update(format="other"), "is not a clipduet-benchmark file"),
        (lambda r: r.update(format_version=99), "Run the benchmark again"),
    ],
)
def test_a_file_that_was_changed_by_hand_is_refused(
    make_results: MakeResults,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    results = make_results()
    change(results)
    file = tmp_path / "in.json"
    file.write_text(dump(results), encoding="utf-8")
    assert main([str(file), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("content", [None, "", "{", "[]", "12"])
def test_what_is_no_result_file_is_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None
) -> None:
    file = tmp_path / "in.json"
    if content is not None:
        file.write_text(content)
    assert main([str(file), "--out", str(tmp_path / "out")]) == 2
    assert capsys.readouterr().err.startswith("error: ")
