"""Sets of clips: found below a root, studied over folds and judged."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import benchmarks.real.__main__ as real
from benchmarks.common.errors import BenchmarkError
from benchmarks.real.__main__ import environment_of, main
from infer.system.files import sha256_of
from tests.benchmarks.real.invented_sets import Steps, result_of
from train.config.load import load_config


def test_a_set_is_found_by_its_files(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkError, match="no such folder"):
        environment_of(tmp_path / "none")
    (tmp_path / "labels.txt").write_text("run\nwalk\n\n")
    with pytest.raises(BenchmarkError, match=r"all\.list"):
        environment_of(tmp_path)
    for name in ("train.list", "val.list"):
        (tmp_path / name).write_text("")
    found = environment_of(tmp_path)
    assert found["REAL_NAMES"] == "labels.txt" and found["REAL_TEST"] == "val.list"
    (tmp_path / "all.list").write_text("")
    assert environment_of(tmp_path)["REAL_TRAIN"] == "all.list"


def test_the_configs_take_a_set_by_variables(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REAL_ROOT", str(tmp_path))
    (tmp_path / "classes.txt").write_text("\n".join("abcdefg"))
    monkeypatch.setenv("STUDENT_START", "start.pdparams")
    baseline, pair = (
        load_config(root / "configs" / f"real_{name}.yaml") for name in ("baseline", "dml")
    )
    assert baseline.class_num == pair.class_num == 7
    assert baseline.model["backbone"]["pretrained"] == "start.pdparams"
    monkeypatch.delenv("STUDENT_START")
    assert not load_config(root / "configs" / "real_baseline.yaml").model["backbone"]["pretrained"]


def test_each_set_is_studied_and_judged_on_the_same_folds(steps: Steps, tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "out"
    arguments = ["--root", str(tmp_path), "--sets", "one", "two", "--folds", "2"]
    arguments += ["--join-duplicates", "two", "--sheets", "0"]
    arguments += ["--seeds", "3", "4", "--runs", str(runs), "--out", str(out), "-o", "epochs=2"]
    assert main(arguments) == 0
    found = result_of(out)
    assert [one["set"] for one in found["sets"]] == ["one", "two"]
    assert found["pooled"]["clips"] == 120 and "## two" in (out / "report.md").read_text()
    for place, name in enumerate(("one", "two")):
        (studied, environment), (judged, _) = steps[2 * place : 2 * place + 2]
        assert environment["REAL_ROOT"] == str(tmp_path / name)
        assert environment["REAL_NAMES"] == "labels.txt"
        assert studied.folds == 2 and studied.seeds == [3, 4] and studied.override == ["epochs=2"]
        assert studied.join_duplicates == (name == "two")
        assert studied.export and studied.runs == runs / name
        assert judged.folds == runs / name / "folds.json" and judged.sheets == 0
        # One seed after another, each in the order of the folds.
        expected = [f"{fold}/real_dml-{seed}/bundle" for seed in (3, 4) for fold in (1, 2)]
        assert [path.relative_to(runs / name).as_posix() for path in judged.student] == expected
        (files,) = found["files"][name]
        assert files["seeds"] == [3, 4]
        for kind in ("study", "gate"):
            assert sha256_of(out / files[kind]["file"]) == files[kind]["sha256"]


def test_a_stopped_step_ends_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it runs is told to end and waited for, so that it can stop what it runs itself."""
    (tmp_path / "slow.py").write_text(
        "import pathlib, signal, sys, time\n"
        f"folder = pathlib.Path({str(tmp_path)!r})\n"
        "def end(*_):\n"
        "    (folder / 'ended').touch()\n"
        "    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, end)\n"
        "(folder / 'begun').touch()\n"
        "time.sleep(600)\n"
    )
    wait = subprocess.Popen.wait

    def stopped(process: Any, timeout: float | None = None) -> int:
        if not (tmp_path / "stopped").exists():
            while not (tmp_path / "begun").exists():
                time.sleep(0.01)
            (tmp_path / "stopped").touch()
            raise KeyboardInterrupt
        return wait(process, timeout)

    monkeypatch.setattr(subprocess.Popen, "wait", stopped)
    with pytest.raises(KeyboardInterrupt):
        real._step("slow", environment={"PYTHONPATH": str(tmp_path)})
    assert (tmp_path / "ended").exists()


@pytest.mark.torture
def test_a_whole_run_over_one_set(
    tiny: Path, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    clips = tmp_path / "sets" / "colours"
    clips.mkdir(parents=True)
    for file in tiny.glob("*.mp4"):
        shutil.copy(file, clips)
    lines = [(tiny / f"{name}.list").read_text() for name in ("train", "val", "test")]
    (clips / "all.list").write_text("\n".join(lines))
    (clips / "labels.txt").write_text("red\ngreen\nblue\n")
    for name in ("one", "two"):
        config = yaml.safe_load((tiny / f"{name}.yaml").read_text())
        config["DATASET"] |= {
            split: {"format": "VideoDataset", "file_path": f"${{REAL_{split.upper()}}}"}
            for split in ("train", "valid", "test")
        } | {"root": "${REAL_ROOT}", "classes": "${REAL_NAMES}"}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(config))
    arguments = [
        "--root", str(tmp_path / "sets"), "--sets", "colours", "--folds", "2", "--seeds", "3",
        "--configs", f"base={tmp_path}/one.yaml", f"pair={tmp_path}/two.yaml",
        "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--resamples", "200",
        "--backends", "onnxruntime", "--reduce-range",
    ]  # fmt: skip
    assert main(arguments) == 0
    out = tmp_path / "out"
    found = result_of(out)
    for file in (tmp_path / "runs").glob("colours/*/*/bundle/bundle.json"):
        entry = json.loads(file.read_text())["artifacts"]["onnx.int8.x86"]
        assert entry["quantization"]["reduce_range"] is True
    assert found["pooled"]["clips"] == 27 and found["sets"][0]["set"] == "colours"
    assert {"onnxruntime:fp32", "onnxruntime:int8"} <= set(found["cells"])
    (files,) = found["files"]["colours"]
    for kind in ("study", "gate"):
        assert sha256_of(out / files[kind]["file"]) == files[kind]["sha256"]
    assert "colours" in (out / "report.md").read_text()
    assert (out / "colours" / "gate" / "report.md").is_file()


def test_wrong_use_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ["--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs")]
    assert main(["--root", str(tmp_path), "--sets", "none", *out]) == 2
    assert "none" in capsys.readouterr().err
    assert main(["--root", str(tmp_path), "--sets", "a/b", "--folds", "1", *out]) == 2
    error = capsys.readouterr().err
    assert "a/b" in error and "--folds" in error
