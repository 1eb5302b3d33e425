"""`python -m benchmarks.report A.json B.json`: two results compared."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.common.result_file import dump
from benchmarks.pages import numbers
from benchmarks.report.__main__ import main
from benchmarks.report.compared.gates import compare_gates

Results = dict[str, Any]
Make = Callable[..., Results]
FILES = ["comparison.html", "comparison.md", "difference.svg"]


@pytest.fixture
def compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Write results and compare them; exit status and the document, or the message."""

    def run(results: Sequence[Results], *options: str) -> tuple[int, str]:
        files = []
        for number, one in enumerate(results):
            files.append(str(tmp_path / f"{number}.json"))
            Path(files[-1]).write_text(dump(one), encoding="utf-8")
        out = tmp_path / "out"
        status = main([*files, "--out", str(out), *options])
        error = capsys.readouterr().err
        return status, error if status else (out / "comparison.md").read_text(encoding="utf-8")

    return run


def right(results: Results, row: int) -> np.ndarray:
    ranks = results["cells"][row]["pairs"][0]["student"]["ranks"]
    return np.asarray(ranks) == 0


def test_the_same_clips_are_compared_clip_by_clip(
    make_results: Make, compare: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    a, b = make_results(clips=900, int8_loss=0.0), make_results(clips=900, int8_loss=0.06)
    b["conditions"]["machine"]["cpu"] = "Another CPU"
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.md").write_text("mine")
    status, said = compare([a, b])
    assert status == 0 and sorted(one.name for one in (tmp_path / "out").iterdir()) == [
        *FILES, "report.md"
    ]  # fmt: skip
    assert (tmp_path / "out" / "report.md").read_text() == "mine"
    found = compare_gates(tmp_path / "0.json", tmp_path / "1.json")
    assert found.same_clips and found.matched and not found.same_networks
    int8 = found.changes[2]
    lost = (right(a, 2) & ~right(b, 2)).mean()
    assert int8.top1.point == pytest.approx(right(b, 2).mean() - right(a, 2).mean())
    assert int8.top1.high < 0 and int8.flips is not None
    assert int8.flips["right_to_wrong"]["point"] == pytest.approx(lost)
    whole = found.changes[0]
    assert whole.top1.point == 0 and whole.top1.low < 0 < whole.top1.high
    assert whole.agreement == 1.0
    assert "**Verdict: worse.**" in said and "The machines differ" in said
    assert numbers.points(int8.top1.point) in said.partition("delta gain")[0]
    assert numbers.interval(int8.top1.to_dict()) in said and "differences are paired" in said
    differs = said.partition("**What differs**")[2]
    assert "| processor | Example(R) CPU \\<4 GHz\\>, 2 cores | Another CPU, 2 cores |" in differs
    assert "threads" not in differs and "test list" not in differs
    page = (tmp_path / "out" / "comparison.html").read_text(encoding="utf-8")
    assert re.findall("<h2>(.*?)</h2>", page) == re.findall("^## (.*)$", said, re.MULTILINE)


def test_other_clips_are_compared_without_pairing(
    make_results: Make, compare: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    a, b = make_results(clips=600), make_results(clips=300, speed=False)
    status, said = compare([a, b])
    assert status == 0 and "unpaired" in said and "Not timed in both" in said
    found = compare_gates(tmp_path / "0.json", tmp_path / "1.json")
    assert not found.same_clips and found.changes[0].flips is None
    # The same labels, but files that were made anew.
    again = make_results(clips=600)
    again["data"]["clips_sha256"] = "cc" * 32
    assert "unpaired" in compare([a, again])[1]


def test_trainings_of_other_seeds_are_not_paired(
    make_results: Make, compare: Callable[..., tuple[int, str]], tmp_path: Path
) -> None:
    a, b = make_results(clips=300, pairs=2), make_results(clips=300, pairs=3)
    status, said = compare([a, b])
    found = compare_gates(tmp_path / "0.json", tmp_path / "1.json")
    assert status == 0 and found.same_clips and not found.matched
    assert "No training of A belongs to one of B" in said and "right to wrong" not in said


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r["data"]["classes"].__setitem__(1, "other"), "class 1 of"),
        (lambda r: r.update(format="other"), "is not a clipduet-benchmark file"),
    ],
    ids=["classes", "no result"],
)
def test_what_cannot_be_compared_is_one_message(
    make_results: Make, compare: Callable[..., tuple[int, str]], tmp_path: Path,
    change: Callable[[Results], None], message: str,
) -> None:  # fmt: skip
    a, b = make_results(clips=300), make_results(clips=300)
    b["data"]["classes"] = list(b["data"]["classes"])
    change(b)
    status, error = compare([a, b])
    assert status == 2 and message in error and "Traceback" not in error
    assert not (tmp_path / "out").exists()


def test_no_deployment_in_common_and_options_without_effect_are_told(
    make_results: Make, compare: Callable[..., tuple[int, str]]
) -> None:
    a = make_results(clips=300)
    b = make_results(clips=300, cells=["openvino:fp32", "openvino:int8"])
    status, error = compare([a, b])
    assert status == 2 and "no deployment in common" in error and "openvino:int8" in error
    status, error = compare([a, a, a])
    assert status == 2 and "3 result files" in error
    status, error = compare([a, a], "--study", "study.json")
    assert status == 2 and "--study" in error
