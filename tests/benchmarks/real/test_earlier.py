"""A study of real sets grows by what was measured before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks.common.result_file import dump
from benchmarks.real.__main__ import main
from tests.benchmarks.real.invented_sets import Steps, common, result_of


def test_a_study_grows_by_sets_and_seeds(
    steps: Steps, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def measure(out: str, *arguments: str) -> int:
        return main([*common(tmp_path), "--out", str(tmp_path / out), *arguments])

    at_once, first, more = (str(tmp_path / name) for name in ("at_once", "first", "more"))
    assert measure("at_once", "--sets", "one", "two", "--seeds", "3") == 0
    assert measure("first", "--sets", "one", "--seeds", "3") == 0
    assert measure("first", "--sets", "two", "--seeds", "3", "--add", first) == 0
    whole, grown = result_of(Path(at_once)), result_of(Path(first))
    assert {name: grown["files"][name] for name in ("one", "two")}.keys() == whole["files"].keys()
    key = {"set": "one"}.items()
    of_one = [next(s for s in found["sets"] if key <= s.items()) for found in (whole, grown)]
    assert of_one[0] == of_one[1]
    assert grown["pooled"]["clips"] == whole["pooled"]["clips"] == 120
    # The same command again measures again what it measured, and adds the rest.
    assert measure("first", "--sets", "two", "--seeds", "3", "--add", first) == 0
    grown_again = result_of(Path(first))
    assert grown_again["pooled"] == grown["pooled"]

    assert measure("more", "--sets", "one", "two", "--seeds", "4", "5", "--add", first) == 0
    found = result_of(Path(more))
    assert [one["seeds"] for one in found["files"]["two"]] == [[3], [4, 5]]
    before = Path(more) / found["files"]["two"][0]["gate"]["file"]
    assert before.samefile(Path(first) / "two" / "gate" / "results.json")
    gain = found["pooled"]["by_cell"][found["reference"]]["gain"]
    assert gain["pairs"] == 3 and "by_pairs" in gain
    assert "| 4 5 |" in (Path(more) / "report.md").read_text()
    done = len(steps)
    assert (
        main([*common(tmp_path), "--sets", "--add", first, more, "--out", str(tmp_path / "pool")])
        == 0
    )
    assert result_of(tmp_path / "pool")["pooled"] == found["pooled"] and len(steps) == done

    done = len(steps)
    both = ["--add", first, "--sets", "one", "two", "--seeds", "4"]
    for wrong, said in (
        (["--sets", "two", "--seeds", "4", "--add", first], "same seeds"),
        ([*both, "-o", "epochs=2"], "setting of -o"),
        ([*both, "--folds", "3"], "number of folds"),
        ([*both, "--reduce-range"], "setting of --reduce-range"),
        ([*both, "3"], "seed 3"),
        (["--sets", "--add", first, at_once], "seed 3"),
        (["--sets", "--add", str(tmp_path / "none")], "none"),
        (["--sets", "."], "--sets ."),
        (["--sets"], "--add"),
        ([*both, "--out", first], "overwritten"),
    ):
        assert measure("wrong", *wrong) == 2
        assert said in capsys.readouterr().err
    assert len(steps) == done  # nothing was trained for it
    assert result_of(Path(first)) == grown_again


def test_a_folder_that_was_measured_again_is_pooled_as_it_is_now(
    steps: Steps, tmp_path: Path
) -> None:
    first, more = (str(tmp_path / name) for name in ("first", "more"))
    both = [*common(tmp_path), "--sets", "one", "two"]
    assert main([*both, "--seeds", "3", "--out", first]) == 0
    assert main([*both, "--seeds", "4", "--add", first, "--out", more]) == 0
    before = result_of(Path(more))["pooled"]
    study = tmp_path / "first" / "one" / "results.json"
    study.write_text(study.read_text().replace("2030", "2031"))  # as its command does
    assert main([*common(tmp_path), "--sets", "--add", more, "--out", str(tmp_path / "pool")]) == 0
    assert result_of(tmp_path / "pool")["pooled"] == before
    # A run of its own folder that was stopped goes on.
    grow = [*common(tmp_path), "--sets", "two", "--seeds", "3", "--add", first, "--out", first]
    (tmp_path / "first" / "two" / "results.json").write_text("{}")
    assert main(grow) == 0
    assert result_of(Path(first))["pooled"]["clips"] == 120


@pytest.mark.parametrize(
    "change",
    [
        {"files": []},
        {"files": {"one": [{}]}},
        {"starts": "some"},
        {"starts": {"STUDENT_START": {}}},
        {"files": {"one": [{"seeds": [7], "study": {"file": "one/results.json"},
                            "gate": {"file": "one/gate/results.json"}}]}},
    ],
)  # fmt: skip
def test_a_damaged_result_is_one_message(
    steps: Steps, tmp_path: Path, change: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "first"
    assert main([*common(tmp_path), "--sets", "one", "--seeds", "3", "--out", str(first)]) == 0
    file = first / "results.json"
    file.write_text(dump(result_of(first) | change))
    capsys.readouterr()
    assert main(["--sets", "--add", str(first), "--out", str(tmp_path / "pool")]) == 2
    assert "Traceback" not in capsys.readouterr().err
