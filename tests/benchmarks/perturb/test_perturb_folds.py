"""Perturbed clips of a cross-validation: each is answered by the networks that its fold tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.gain import main as gain
from benchmarks.gate.verdict import Rule
from benchmarks.perturb.__main__ import main
from benchmarks.perturb.figures import figures
from benchmarks.perturb.report import main as report
from benchmarks.perturb.result_file import read_results
from benchmarks.stats.resample import Groups
from tests.benchmarks.gate.networks import dealt
from tests.benchmarks.perturb.conftest import CLIPS
from train.data.fold_lists import FoldLists

CELLS = ("onnxruntime:fp32", "onnxruntime:int8")
NAMES = ("half_rate", "noise")


def asked(world: Path, lists: FoldLists, out: Path, *more: str) -> list[str]:
    """One seed: of fold 1 the pair a1 and b1, of fold 2 the pair a2 and b2."""
    return [
        "--baseline", str(world / "a1"), str(world / "a2"),
        "--student", str(world / "b1"), str(world / "b2"), "--folds", str(lists.file),
        "--out", str(out), "--resamples", "300", "--threads", "1", "--perturb", *NAMES, *more,
    ]  # fmt: skip


@pytest.mark.usefixtures("tried")
def test_each_perturbed_clip_is_answered_by_the_networks_of_its_fold(
    run: Callable[..., int], world: Path, tmp_path: Path
) -> None:
    lists = dealt(world, tmp_path)
    assert main(asked(world, lists, tmp_path / "folds-out", "--tell-only")) == 0
    assert run(tmp_path / "whole", "--perturb", *NAMES, "--tell-only") == 0
    found = read_results(tmp_path / "folds-out" / "results.json")
    whole = read_results(tmp_path / "whole" / "results.json")
    assert len(found["pairs"]) == 1 and len(whole["pairs"]) == 2
    assert found["folds"]["number"] == 2
    assert found["data"]["paths"] == whole["data"]["paths"]
    assert found["data"]["failed"] == whole["data"]["failed"]
    fold = np.asarray(found["data"]["fold"])
    for name in ("clean", *NAMES):
        of_folds, of_list = (one["perturbations"][name]["predictions"] for one in (found, whole))
        for model in ("baseline", "student"):
            for cell in CELLS:
                (said,), known = np.asarray(of_folds[model][cell]), np.asarray(of_list[model][cell])
                assert said.shape == (CLIPS,)
                assert said.tolist() == np.where(fold == 1, *known).tolist()
    text = (tmp_path / "folds-out" / "report.md").read_text(encoding="utf-8")
    assert "cross-validation in 2 folds" in text and "there are 8" in text
    more = ("--no-latency", "--tell-only", "--backends", "onnxruntime")
    assert gain(asked(world, lists, tmp_path / "gate.json", *more)) == 0
    of_gate = read_results(tmp_path / "gate.perturbed" / "results.json")
    assert of_gate["rows"] == found["rows"] and of_gate["data"] == found["data"]


@pytest.mark.usefixtures("tried")
def test_groups_of_clips_are_drawn_together(world: Path, tmp_path: Path) -> None:
    """A gain that one of two groups of clips has, and no clip of the other."""
    out = tmp_path / "out"
    only = ("--cells", CELLS[0], "--tell-only")
    assert main(asked(world, dealt(world, tmp_path), out, *only)) == 0
    results: dict[str, Any] = json.loads((out / "results.json").read_text(encoding="utf-8"))
    labels, half = results["data"]["labels"], CLIPS // 2
    wrong = [(label + 1) % 3 for label in labels]
    for one in results["perturbations"].values():
        one["predictions"] = {
            "baseline": {CELLS[0]: [labels[:half] + wrong[half:]]},
            "student": {CELLS[0]: [labels]},
        }

    def gains(groups: list[str]) -> list[dict[str, Any]]:
        results["data"]["groups"] = groups
        (out / "results.json").write_text(json.dumps(results), encoding="utf-8")
        assert report([str(out / "results.json"), "--out", str(tmp_path / "again")]) == 0
        return [row["gain"] for row in read_results(out / "results.json")["rows"]]

    for alone, together in zip(
        gains([str(place) for place in range(CLIPS)]), gains(["a"] * half + ["b"] * half),
        strict=True,
    ):  # fmt: skip
        assert alone["point"] == together["point"] == 0.5
        assert alone["low"] > 0 and together["low"] <= 0  # none of its group may be drawn


def test_a_class_of_few_groups_does_not_collapse_by_its_clips() -> None:
    """All 20 clips of class 0 are lost: by chance hardly, but they are of two groups only."""
    labels = [0] * 20 + [1] * 60
    lost = [1] * 80
    said = {"a:fp32": [labels], "b:int8": [labels]}

    def collapsed(names: list[str]) -> list[dict[str, Any]]:
        rows = figures(
            {"clean": {"baseline": said, "student": {**said, "b:int8": [lost]}}}, labels,
            reference="a:fp32", rule=Rule(), same={},
            bootstrap={"resamples": 100, "seed": 0, "level": 0.95, "groups": Groups.of(names)},
        )  # fmt: skip
        found: list[dict[str, Any]] = rows[1]["verdict"]["collapsed_classes"]
        return found

    assert [one["class"] for one in collapsed([str(clip) for clip in range(80)])] == [0]
    assert collapsed([str(clip // 10) for clip in range(80)]) == []


@pytest.mark.usefixtures("tried")
def test_wrong_use_of_folds_is_refused(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = dealt(world, tmp_path)
    out = tmp_path / "out"
    more = ("--clips", "12", "--root", str(world))
    assert main(asked(world, lists, out, *more)) == 2
    said = capsys.readouterr().err
    assert "--clips" in said and "--root" in said and "--suffix" not in said
    assert main(asked(world, lists, out, "--data", str(world / "test.list"))) == 2
    assert "--data" in capsys.readouterr().err
    assert main(asked(world, lists, lists.file)) == 2
    assert "--out" in capsys.readouterr().err
    single = ["--baseline", str(world / "a1"), "--student", str(world / "b1")]
    assert main([*single, "--folds", str(lists.file), "--out", str(out)]) == 2
    assert "2 folds" in capsys.readouterr().err
    assert main([*single, "--out", str(out)]) == 2
    said = capsys.readouterr().err
    assert "--data" in said and "--config" in said and "--folds" in said
    assert not (out / "results.json").exists()
