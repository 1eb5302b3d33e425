"""Several sets of clips: found below a root, studied over folds, judged, and pooled as strata."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import benchmarks.gain as gain
import benchmarks.real.__main__ as real
import benchmarks.study.__main__ as study
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import dump, read
from benchmarks.gate.verdict import Rule
from benchmarks.real.__main__ import environment_of, main
from benchmarks.real.pooled import FORMAT, FORMAT_VERSION, pool_sets
from benchmarks.real.sections import real_sentences
from infer.system.files import sha256_of, write_text
from train.config.load import load_config

SETTINGS: Any = {"resamples": 1000, "seed": 0, "level": 0.95}
MakeResults = Callable[..., dict[str, Any]]


def invented(make_results: MakeResults, sizes: dict[str, int]) -> dict[str, Any]:
    """Gates over sets of these sizes, three seeds each, in groups of four clips."""
    found = {}
    for place, (name, clips) in enumerate(sizes.items()):
        gate = make_results(
            clips=clips, pairs=3, seed=place, gain=0.02 * (1 + place), speed=False, int8_loss=0.0
        )
        gate["data"]["groups"] = [f"g{clip // 4}" for clip in range(clips)]
        found[name] = gate
    return found


def test_sets_are_pooled_by_their_clips(make_results: MakeResults) -> None:
    sets = invented(make_results, {"one": 300, "two": 900})
    found = pool_sets(sets, Rule(), SETTINGS)
    whole = found["pooled"]["by_cell"][found["reference"]]
    assert found["pooled"]["clips"] == 1200 and whole["gain"]["pairs"] == 3
    for model in ("baseline", "student"):
        parts = [one["by_cell"][found["reference"]][model]["point"] for one in found["sets"]]
        assert whole[model]["point"] == pytest.approx((300 * parts[0] + 900 * parts[1]) / 1200)
    gains = [one["by_cell"][found["reference"]]["gain"]["point"] for one in found["sets"]]
    assert whole["gain"]["point"] == pytest.approx((300 * gains[0] + 900 * gains[1]) / 1200)
    for one, gate in zip(found["sets"], sets.values(), strict=True):
        row = gate["cells"][0]
        assert one["by_cell"][row["cell"]]["gain"]["point"] == pytest.approx(row["gain"]["point"])
        assert one["chance"] == pytest.approx(1 / 6, abs=0.01)
        assert one["groups"] == one["clips"] / 4
    # Twelve hundred clips tell more than three hundred.
    small = found["sets"][0]["by_cell"][found["reference"]]["gain"]
    assert whole["gain"]["high"] - whole["gain"]["low"] < small["high"] - small["low"]
    assert found["pooled"]["by_cell"]["onnxruntime:int8"]["verdict"]["verdict"] == "pass"
    said = real_sentences(found)
    assert any("All sets together: 1200 clips" in sentence for sentence in said)


@pytest.mark.parametrize("what", ["collapsed", "collapsed_classes"])
def test_what_collapsed_in_the_gate_of_one_set_fails_here_too(
    make_results: MakeResults, what: str
) -> None:
    sets = invented(make_results, {"one": 60, "two": 900})
    lost = {"model": "student", "pair": 0, "class": 2, "clips": 10, "before": 9, "after": 0}
    sets["one"]["cells"][2]["verdict"] |= {what: [lost], "verdict": "fail"}
    found = pool_sets(sets, Rule(), SETTINGS)
    of_one, of_two, pooled = (
        one["by_cell"]["onnxruntime:int8"] for one in (*found["sets"], found["pooled"])
    )
    assert of_one["verdict"]["verdict"] == pooled["verdict"]["verdict"] == "fail"
    assert of_two["verdict"]["verdict"] == "pass"
    assert pooled["collapsed"] == ["one"] and of_two["collapsed"] == []
    assert any("collapsed in one" in sentence for sentence in real_sentences(found))


def test_nothing_passes_where_a_model_of_the_reference_collapsed(
    make_results: MakeResults,
) -> None:
    sets = invented(make_results, {"one": 60, "two": 900})
    same = {"model": "baseline", "pair": 0, "class": 2, "answers": 60, "clips": 60}
    sets["one"]["cells"][0]["verdict"]["collapsed"] = [same]
    found = pool_sets(sets, Rule(), SETTINGS)
    of_one, of_two, pooled = (
        one["by_cell"]["onnxruntime:fp32"] for one in (*found["sets"], found["pooled"])
    )
    assert of_one["verdict"]["verdict"] == pooled["verdict"]["verdict"] == "unclear"
    assert of_two["verdict"]["verdict"] == "pass"


def test_sets_of_other_seeds_are_not_pooled(make_results: MakeResults) -> None:
    sets = invented(make_results, {"one": 60, "two": 60})
    sets["two"]["pairs"].pop()
    with pytest.raises(BenchmarkError, match="other seeds"):
        pool_sets(sets, Rule(), SETTINGS)


def test_where_nothing_is_learnt_the_sentence_says_so(make_results: MakeResults) -> None:
    sets = invented(make_results, {"one": 60})
    gate = sets["one"]
    for row in gate["cells"]:
        for pair in row["pairs"]:
            for model in ("baseline", "student"):
                pair[model]["predictions"] = np.zeros(60, int).tolist()
    found = pool_sets(sets, Rule(), SETTINGS)
    assert "not shown to be above" in real_sentences(found)[0]


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


Steps = list[tuple[Any, dict[str, str]]]


@pytest.fixture
def steps(
    make_study: MakeResults,
    make_results: MakeResults,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Steps:
    """Two sets below tmp_path; studies and gates over them are invented, and noted here."""
    for name, classes in (("one", "a\nb\n"), ("two", "a\nb\nc\n")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "labels.txt").write_text(classes)
        (tmp_path / name / "all.list").write_text("")
    steps: Steps = []
    seeds: list[int] = []

    def step(module: str, *words: str, environment: dict[str, str]) -> None:
        parsed = {"benchmarks.study": study, "benchmarks.gain": gain}[module]._parser()
        options = parsed.parse_args(words)  # what the commands take
        steps.append((options, environment))
        if module == "benchmarks.study":
            seeds[:] = options.seeds
            made = make_study(clips=60, seeds=seeds)
            for config, named in zip(made["configs"].values(), options.configs, strict=True):
                config |= {"path": named.partition("=")[2], "overrides": options.override}
            made["data"] |= {
                "paths": [f"{clip}.mp4" for clip in range(60)],
                "groups": [str(clip) for clip in range(60)],
                "fold": [1 + clip % options.folds for clip in range(60)],
                "clips_sha256": "ab" * 32,
            }
            made["folds"] = {"number": options.folds}
            write_text(options.out / "results.json", dump(made))
        else:
            result = make_results(clips=60, pairs=len(seeds), seed=seeds[0], speed=False)
            result["data"]["groups"] = [str(clip) for clip in range(60)]
            options.out.parent.mkdir(parents=True, exist_ok=True)
            options.out.write_text(dump(result))

    monkeypatch.setattr(real, "_step", step)
    return steps


def result_of(out: Path) -> dict[str, Any]:
    return read(out / "results.json", format=FORMAT, versions=(FORMAT_VERSION,), made_by="this")


def common(folder: Path) -> list[str]:
    where = ["--root", str(folder), "--runs", str(folder / "runs")]
    return [*where, "--folds", "2", "--resamples", "200"]


def test_each_set_is_studied_and_judged_on_the_same_folds(steps: Steps, tmp_path: Path) -> None:
    runs, out = tmp_path / "runs", tmp_path / "out"
    arguments = ["--root", str(tmp_path), "--sets", "one", "two", "--folds", "2"]
    arguments += ["--join-duplicates", "two"]
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
        assert judged.folds == runs / name / "folds.json"
        # One seed after another, each in the order of the folds.
        expected = [f"{fold}/real_dml-{seed}/bundle" for seed in (3, 4) for fold in (1, 2)]
        assert [path.relative_to(runs / name).as_posix() for path in judged.student] == expected
        (files,) = found["files"][name]
        assert files["seeds"] == [3, 4]
        for kind in ("study", "gate"):
            assert sha256_of(out / files[kind]["file"]) == files[kind]["sha256"]


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


def test_a_deployment_that_one_set_lacks_is_left_out_and_told(make_results: MakeResults) -> None:
    sets = invented(make_results, {"one": 60, "two": 60})
    lost = sets["two"]["cells"].pop()["cell"]
    found = pool_sets(sets, Rule(), SETTINGS)
    assert lost not in found["cells"] and found["left_out"] == {lost: ["two"]}
    # As `earlier.together` says it of seeds that lack it.
    sets["one"]["cells"].pop()
    sets["one"]["lacking"] = [lost]
    assert pool_sets(sets, Rule(), SETTINGS)["left_out"] == {lost: ["one", "two"]}


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
        "--backends", "onnxruntime",
    ]  # fmt: skip
    assert main(arguments) == 0
    out = tmp_path / "out"
    found = result_of(out)
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
