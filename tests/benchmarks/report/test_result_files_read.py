"""Result files that the report reads: older ones, and those that it refuses."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.common.result_file import dump
from benchmarks.gate.results.result_file import FORMAT_VERSION
from benchmarks.report.__main__ import main
from tests.benchmarks.older_results import as_version_2

MakeResults = Callable[..., dict[str, Any]]


def answers(results: dict[str, Any], row: int) -> dict[str, list[int]]:
    return results["cells"][row]["pairs"][0]["student"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["cells"][2]["student"]["top1"].update(point=0.99), "top1"),
        (lambda r: answers(r, 1)["predictions"].pop(), "not one answer"),
        (lambda r: answers(r, 1)["ranks"].__setitem__(0, 3), "ranks "),
        (lambda r: r["cells"][0]["baseline"].update(macro_f1=0.1), "macro_f1 "),
        (lambda r: r["cells"][1]["gain"].update(point=0.2), " gain "),
        (lambda r: r["cells"][1]["gain"].update(low=0.2), "interval of gain"),
        (lambda r: r["cells"][1]["gain"].update(p=0.2), " p "),
        (lambda r: r["cells"][1]["gain_left"]["share"].update(point=2), "gain_left "),
        (lambda r: r["cells"][2]["verdict"].update(verdict="pass"), "the verdict "),
        (lambda r: r["cells"][2]["verdict"]["change"].update(point=0), "verdict.change "),
        (lambda r: r["rule"].update(keep=0.1), "verdict.kept "),
        (lambda r: r["cells"][2].pop("verdict"), "lacks a part of a result file"),
        (lambda r: r["cells"][2]["pairs"].pop(), "every pair"),
        (lambda r: r.update(format="other"), "is not a clipduet-benchmark file"),
        (lambda r: r.update(format_version=1), "again"),
    ],
)
def test_a_file_that_was_changed_by_hand_is_refused(
    make_results: MakeResults,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: Callable[[dict[str, Any]], None],
    message: str,
) -> None:
    results = make_results(clips=1000)
    assert results["cells"][2]["verdict"]["verdict"] == "unclear"
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


@pytest.mark.parametrize("pairs", [1, 3])
def test_a_file_of_the_version_before_is_judged_by_the_rule_of_today(
    make_results: MakeResults, report: Callable[..., Path], pairs: int
) -> None:
    today = make_results(gain=0.03, pairs=pairs, clips=800)
    folder = report(as_version_2(today))
    found = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert found["format_version"] == FORMAT_VERSION
    for new, expected in zip(found["cells"], today["cells"], strict=True):
        assert new["verdict"] == expected["verdict"]
        assert [one.get("verdict") for one in new["pairs"]] == [
            one.get("verdict") for one in expected["pairs"]
        ]
