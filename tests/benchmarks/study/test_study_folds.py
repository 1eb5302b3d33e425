"""A whole study over folds on tiny clips: every clip tested once, by networks that never saw it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.common.errors import BenchmarkError
from benchmarks.deployments.logits import read_logits
from benchmarks.study.__main__ import main
from benchmarks.study.result_file import load_study
from infer.system.files import sha256_of
from train.data.fold_lists import read_folds
from train.data.folds import FoldsError


@pytest.fixture(scope="module")
def grouped(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configs of `tiny`, the pair's with a teacher that is trained first, and 9 persons."""
    tmp_path = tmp_path_factory.mktemp("grouped")
    for name in ("one", "two"):
        config = yaml.safe_load((tiny / f"{name}.yaml").read_text())
        if name == "two":
            config["BEFORE"] = {"TEACHER": {"train": "one.yaml"}}
            config["MODEL"]["models"][1]["Student2"]["pretrained"] = "${TEACHER}"
            # Both splits are one mapping in YAML; a fold changes each alone.
            config["DATASET"]["test"] = config["DATASET"]["valid"]
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(config))
    lines = [f"{index}.mp4 person{index // 3}\n" for index in range(27)]
    (tmp_path / "persons.txt").write_text("".join(lines))
    return tmp_path


def arguments(folder: Path, *more: str) -> list[str]:
    return [
        "--configs", f"base={folder}/one.yaml", f"pair={folder}/two.yaml",
        "--folds", "2", "--groups", str(folder / "persons.txt"),
        "--out", str(folder / "out"), "--runs", str(folder / "runs"), "--no-export",
        "--resamples", "200", *more,
    ]  # fmt: skip


def test_every_clip_is_tested_once_by_networks_that_never_saw_its_group(
    grouped: Path, root: Path, trains_here: None, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(root)
    assert main(arguments(grouped, "--seeds", "3")) == 0
    study = load_study(grouped / "out" / "results.json")
    data = study["data"]
    assert sorted(data["paths"]) == sorted(f"{index}.mp4" for index in range(27))
    assert study["folds"]["number"] == 2 and len(set(data["groups"])) == 9
    person = dict(zip(data["paths"], data["groups"], strict=True))
    folds = grouped / "runs"
    for entry in study["folds"]["lists"]:
        listed = {}
        for split in ("train", "valid", "test"):
            file = folds / entry[split]["file"]
            assert sha256_of(file) == entry[split]["sha256"]
            listed[split] = {person[line.split()[0]] for line in file.read_text().splitlines()}
        assert sum(map(len, listed.values())) == 9 == len(set.union(*listed.values()))
        # What each run, its teacher included, was trained, chosen and tested on.
        fold = entry["fold"]
        for name in ("one-3", "two-3"):
            given = yaml.safe_load((folds / str(fold) / name / "config.yaml").read_text())
            for split in ("train", "valid", "test"):
                expected = str((folds / entry[split]["file"]).absolute())
                assert given["DATASET"][split]["file_path"] == expected
        assert not list((folds / str(fold) / "two-3").glob("before/*"))
    logits = read_logits(grouped / "out" / "results.json", study["logits"])
    for run in study["runs"]:
        predictions = run["cells"]["dynamic:fp32"]["predictions"]
        table = logits[f"{run['role']}/3/dynamic:fp32"]
        assert len(predictions) == 27 and table.argmax(axis=1).tolist() == predictions
        assert len({one["checkpoint_sha256"] for one in run["folds"]}) == 2
        assert (run["seconds_before"] > 0) == (run["role"] == "student")
    report = (grouped / "out" / "report.md").read_text()
    assert "test clip once, in 2 folds" in report and "9 groups" in report and "33.3 %" in report
    assert "27 clips" in capsys.readouterr().out


def test_a_study_over_folds_goes_on_and_grows(
    grouped: Path,
    tmp_path: Path,
    root: Path,
    trains_here: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(root)
    # Of the first test, or made here if that did not run.
    assert main(arguments(grouped, "--seeds", "3")) == 0
    first = load_study(grouped / "out" / "results.json")
    weights = sorted((grouped / "runs").glob("*/*-3/best.pdparams"))
    kept = {file: file.read_bytes() for file in weights}
    assert len(kept) == 4  # the baseline of a seed is its pair's teacher here
    assert main(arguments(grouped, "--seeds", "3", "4")) == 0
    assert kept == {file: file.read_bytes() for file in kept}
    study = load_study(grouped / "out" / "results.json")
    assert study["per_seed"]["dynamic:fp32"][0] == first["per_seed"]["dynamic:fp32"][0]
    assert len(study["per_fold"]["dynamic:fp32"]) == 4
    gains = [row["gain"]["point"] for row in study["per_seed"]["dynamic:fp32"]]
    assert study["pooled"]["dynamic:fp32"]["crossed"]["point"] == pytest.approx(np.mean(gains))
    capsys.readouterr()
    assert main(arguments(grouped, "--seeds", "3", "--fold-seed", "1")) == 2
    assert "other folds" in capsys.readouterr().err
    study["per_fold"]["dynamic:fp32"][0]["gain"] += 0.1
    (tmp_path / "results.json").write_text(json.dumps(study))
    with pytest.raises(BenchmarkError, match="folds"):
        load_study(tmp_path / "results.json")
    copy = tmp_path / "runs"
    shutil.copytree(grouped / "runs", copy, ignore=shutil.ignore_patterns("*-3", "*-4"))
    read_folds(copy / "folds.json")
    (copy / "2" / "test.list").write_text("0.mp4 0\n")
    with pytest.raises(FoldsError, match="not those"):
        read_folds(copy / "folds.json")


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--folds", "1"], "--folds is 1"),
        (["--folds", "12"], "9 groups"),
        (["--groups", "nowhere.txt"], "nowhere.txt"),
        (["--groups", "scenes"], "scene/class/clip"),
    ],
)
def test_wrong_use_of_folds_is_one_message(
    grouped: Path, capsys: pytest.CaptureFixture[str], more: list[str], word: str
) -> None:
    assert main(arguments(grouped, *more)) == 2
    error = capsys.readouterr().err
    assert word in error and "Traceback" not in error
    assert main(["--groups", "none", "--no-export"]) == 2
    assert "--groups without --folds" in capsys.readouterr().err
