"""The gate over folds: each clip is answered by the networks of the fold that tests it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from benchmarks.deployments.logits import read_logits
from benchmarks.gain import main
from benchmarks.gate.results.result_file import load_results
from benchmarks.gate.results.sheets_file import read_sheets
from benchmarks.report.__main__ import main as report
from tests.benchmarks.gate.networks import dealt, run
from train.data.fold_lists import FoldLists

pytestmark = pytest.mark.usefixtures("tried")


def run_folds(world: Path, lists: FoldLists, baseline: str, student: str, out: Path) -> int:
    return main(
        [
            "--baseline", *(str(world / name) for name in baseline.split()),
            "--student", *(str(world / name) for name in student.split()),
            "--folds", str(lists.file), "--out", str(out), "--resamples", "500",
            "--threads", "1", "--backends", "onnxruntime", "--no-latency", "--tell-only",
        ]
    )  # fmt: skip


def test_each_clip_is_answered_by_the_networks_of_its_fold(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = dealt(world, tmp_path)
    out = tmp_path / "out" / "results.json"
    # Two seeds, each with a network a fold: of the second seed's baseline one is blind.
    assert run_folds(world, lists, "blind blind good blind", "good good good lossy", out) == 0
    whole = {}
    for name in ("blind", "good", "lossy"):
        assert run(world, name, name, tmp_path / f"{name}.json", "--no-latency", "--tell-only") == 0
        whole[name] = load_results(tmp_path / f"{name}.json")
    results = load_results(out)
    data = results["data"]
    assert data["listed"] == 30 and data["decoded"] == 29
    assert data["paths"] == whole["good"]["data"]["paths"]
    assert len(results["pairs"]) == 2 and results["folds"]["number"] == 2
    fold = np.asarray(data["fold"])
    for row, *alone in zip(
        results["cells"], *(one["cells"] for one in whole.values()), strict=True
    ):
        known = dict(zip(whole, alone, strict=True))
        for seed, model, names in (
            (0, "baseline", ("blind", "blind")), (0, "student", ("good", "good")),
            (1, "baseline", ("good", "blind")), (1, "student", ("good", "lossy")),
        ):  # fmt: skip
            said = np.asarray(row["pairs"][seed][model]["predictions"])
            for number, name in enumerate(names, start=1):
                other = np.asarray(known[name]["pairs"][0]["student"]["predictions"])
                assert (said[fold == number] == other[fold == number]).all()
    for clip, jpeg in read_sheets(out, results).pictures.items():  # of every fold
        drawn = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR).mean((0, 1))[::-1]
        assert drawn.argmax() == data["labels"][clip]
    kinds = [(kind.after.cell, kind.way) for kind in read_sheets(out, results).kinds]
    assert ("onnxruntime:fp32", "wrong_to_right") in kinds and len(kinds) > 1
    logits = read_logits(out, results["logits"])
    assert all(table.shape == (30, 3) for table in logits.values())
    paths = [
        [pair["baseline"]["path"] for pair in of_seed] for of_seed in results["folds"]["bundles"]
    ]
    assert [[Path(path).name for path in one] for one in paths] == [
        ["blind", "blind"], ["good", "blind"],
    ]  # fmt: skip
    assert report([str(out), "--out", str(tmp_path / "report")]) == 0
    text = (tmp_path / "report" / "report.md").read_text()
    assert "cross-validation in 2 folds" in text and "there are 10" in text
    capsys.readouterr()


def test_wrong_use_of_folds_is_refused(
    world: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lists = dealt(world, tmp_path)
    out = tmp_path / "results.json"
    assert run_folds(world, lists, "blind blind good", "good good good", out) == 2
    assert "2 folds" in capsys.readouterr().err
    more = ["--folds", str(lists.file), "--no-latency"]
    assert run(world, "blind", "good", out, *more) == 2
    assert "--data" in capsys.readouterr().err
    bundles = ["--baseline", str(world / "blind"), "--student", str(world / "good")]
    named = ["--root", str(world), "--suffix", ".mp4", "--perturb", "crf99"]
    assert main([*bundles, "--out", str(out), *more, *named]) == 2
    said = capsys.readouterr().err
    assert all(option in said for option in ("--root", "--suffix", "crf99"))
    assert "--format" not in said and not out.exists()
    lists.list_file(1, "test").write_text("clip 0.mp4 0\n")
    assert run_folds(world, lists, "blind blind", "good good", out) == 2
    assert "test.list" in capsys.readouterr().err and not out.exists()
