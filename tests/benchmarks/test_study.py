"""The study: pooling, its report, and a whole one on tiny clips that is stopped and continued."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import paddle
import pytest
import yaml

from benchmarks import study_measure, study_results, words
from benchmarks.errors import BenchmarkError
from benchmarks.latency import Timings
from benchmarks.loader import main as loader
from benchmarks.paddlevideo_step import main as paddlevideo_step
from benchmarks.report import main as report
from benchmarks.results import dump, load
from benchmarks.side_by_side import main as side_by_side
from benchmarks.step_cost import main as step_cost
from benchmarks.step_cost import pair_ratio
from benchmarks.study import differences, main, write_study
from benchmarks.study_methods import add_jobs
from benchmarks.study_methods import main as methods_main
from benchmarks.study_runs import Job, eta
from infer.bundle import sha256_of
from train.config import load_config

MakeResults = Callable[..., dict[str, Any]]


def test_gains_are_pooled_over_seeds(make_study: MakeResults) -> None:
    study = make_study()
    for cell in study["cells"]:
        points = [row["gain"]["point"] for row in study["per_seed"][cell]]
        pooled = study["pooled"][cell]
        assert pooled["crossed"]["point"] == pytest.approx(np.mean(points))
        assert pooled["seeds"]["point"] == pytest.approx(np.mean(points))
        assert pooled["crossed"]["low"] < np.mean(points) < pooled["crossed"]["high"]
        assert pooled["distinguishable"] and pooled["seeds_gaining"] == 5
        assert pooled["student"] - pooled["baseline"] == pytest.approx(np.mean(points))


def test_identical_runs_have_no_gain(make_study: MakeResults) -> None:
    study = make_study(gains=(0.0, 0.0, 0.0))
    pooled = study["pooled"]["dynamic:fp32"]
    assert pooled["crossed"]["point"] == pooled["crossed"]["low"] == 0
    assert not pooled["distinguishable"] and not pooled["distinguishable_by_seeds"]
    assert words.NOT_DISTINGUISHABLE in words.study_sentence(study, "dynamic:fp32")


def test_the_words_follow_the_evidence(make_study: MakeResults) -> None:
    strong = words.study_sentence(make_study(), "dynamic:fp32")
    assert "more right answers in 5 of 5 seeds" in strong and "confirm" in strong
    assert words.NOT_DISTINGUISHABLE not in strong
    one = words.study_sentence(make_study(gains=(0.05,)), "dynamic:fp32")
    assert "one seed says nothing about others" in one
    lost = words.study_sentence(make_study(gains=(-0.03, -0.04, -0.035)), "dynamic:fp32")
    assert "a loss, with fewer right answers in 3 of 3 seeds" in lost
    mixed = words.study_sentence(make_study(gains=(0.05, -0.05, 0.03)), "dynamic:fp32")
    assert words.NOT_DISTINGUISHABLE in mixed
    few = words.study_sentence(make_study(gains=(0.02, 0.10)), "dynamic:fp32")
    assert "seeds alone, being few, do not settle it" in few


def test_files_agree_with_each_other(make_study: MakeResults, tmp_path: Path) -> None:
    study = make_study()
    write_study(study, tmp_path)
    assert load(tmp_path / "results.json", format="clipduet-study") == json.loads(dump(study))
    rows = list(csv.DictReader(io.StringIO((tmp_path / "results.csv").read_text())))
    assert len(rows) == 10 and {row["cell"] for row in rows} == set(study["cells"])
    for row in rows:
        gain = float(row["student_top1"]) - float(row["baseline_top1"])
        assert float(row["gain"]) == pytest.approx(gain, abs=2e-6)
    text = (tmp_path / "report.md").read_text()
    assert "seed" in text and "mean, by seeds alone" in text and "Example(R) CPU" in text


def test_the_report_takes_the_study_in(
    make_results: MakeResults,
    make_study: MakeResults,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.json").write_text(dump(make_results(clips=1000)))
    (tmp_path / "other.json").write_text(dump(make_results(clips=900)))
    assert report(["in.json", "--out", "without"]) == 0
    write_study(make_study(), tmp_path / "reports" / "study")
    assert report(["in.json", "--out", "with"]) == 0  # found at its default place
    assert report(["other.json", "--out", "other"]) == 0  # of other clips
    for name in ("index.html", "report.md"):
        for folder in ("without", "other"):
            assert "What other seeds bring" not in (tmp_path / folder / name).read_text()
        text = (tmp_path / "with" / name).read_text()
        assert "What other seeds bring" in text and "Over 5 seeds and 1000 clips" in text


def test_a_study_that_was_changed_by_hand_is_refused(
    make_results: MakeResults,
    make_study: MakeResults,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    study = make_study()
    study["per_seed"]["dynamic:fp32"][2]["gain"]["point"] += 0.01
    (tmp_path / "in.json").write_text(dump(make_results()))
    (tmp_path / "study.json").write_text(dump(study))
    arguments = ["--out", str(tmp_path / "out"), "--study", str(tmp_path / "study.json")]
    assert report([str(tmp_path / "in.json"), *arguments]) == 2
    assert "seed 13: the gain does not follow" in capsys.readouterr().err


def test_stored_answers_are_what_is_scored() -> None:
    stored = {"predictions": [0, 1, -1], "ranks": [0, 2, -1]}
    assert study_results.correct(stored).tolist() == [True, False, False]


def test_time_left_comes_from_finished_trainings_of_the_same_config() -> None:
    jobs = [Job(name, Path("c"), seed, Path("r")) for seed in (1, 2) for name in ("a", "b")]
    assert eta([], jobs, [], 2) is None
    assert eta([(jobs[0], 100.0)], jobs[2:3], [], 2) == 50
    assert eta([(jobs[0], 100.0)], jobs[3:], [], 2) is None
    finished = [(jobs[0], 3.0), (jobs[2], 100.0), (jobs[1], 200.0)]
    assert eta(finished, [jobs[0]], [(jobs[3], 150.0)], 2) == 75


def test_configs_that_differ_in_more_than_the_model_are_named() -> None:
    one = {"MODEL": 1, "epochs": 3, "OPTIMIZER": {"name": "AdamW", "x": 1}, "seed": 1}
    other = {"MODEL": 2, "epochs": 4, "OPTIMIZER": {"name": "AdamW", "x": 2}, "seed": 9}
    assert differences(one, other) == ["OPTIMIZER.x: 1 and 2", "epochs: 3 and 4"]
    assert differences(one, {**one, "MODEL": 5}) == []


def test_the_ratio_of_a_pair_is_taken_repetition_by_repetition() -> None:
    timings = {
        "pair": Timings(((3.0, 3.0), (3.3, 3.3))),
        "Teacher": Timings(((2.0, 2.0), (2.0, 2.0))),
        "Student": Timings(((1.0, 1.0), (1.0, 1.0))),
    }
    result = pair_ratio(timings)
    assert result["ratio"] == pytest.approx(1.05)
    assert result["ratio_spread"] == pytest.approx([1.0, 1.1])


STUDENT = {
    "backbone": {
        "name": "PPTSM_v2",
        "num_seg": 4,
        "class_num": 3,
        "scale": 0.25,
        "depths": [1, 1, 1, 1],
        "class_expand": 16,
    },
    "head": {"name": "MoViNetHead"},
}
LOSS = {"name": "DistillationCELoss"}
PAIR = {
    "framework": "RecognizerDistillation",
    "freeze_params_list": [False, False],
    "models": [{"Student": STUDENT}, {"Student2": STUDENT}],
    "loss": {
        "Train": [
            {**LOSS, "model_name_pairs": ["Student", "GroundTruth"]},
            {**LOSS, "model_name_pairs": ["Student2", "GroundTruth"]},
            {"name": "DistillationDMLLoss", "model_name_pairs": ["Student", "Student2"]},
        ],
        "Val": [{**LOSS, "model_name_pairs": ["Student", "GroundTruth"]}],
    },
}


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """A folder with three lists of nine clips of three colours, and the configs of a study."""
    folder = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    lines = []
    for index in range(27):
        frames = rng.integers(0, 120, (5, 32, 32, 3), dtype=np.uint8)
        frames[..., index % 3] += 120
        write_clip(folder / f"{index}.mp4", frames)
        lines.append(f"{index}.mp4 {index % 3}")
    for place, split in enumerate(("train", "val", "test")):
        (folder / f"{split}.list").write_text("\n".join(lines[9 * place : 9 * place + 9]))

    def pipeline(crop: str) -> dict[str, Any]:
        return {
            "decode": {"name": "VideoDecoder"},
            "sample": {"num_seg": 4, "valid_mode": crop == "CenterCrop"},
            "transform": [
                {"Scale": {"short_size": 32, "fixed_ratio": False}},
                {crop: {"target_size": 32}},
                {"Image2Array": None},
                {"Normalization": {"mean": [0.5] * 3, "std": [0.25] * 3}},
            ],
        }

    def split(name: str) -> dict[str, str]:
        return {"format": "VideoDataset", "file_path": f"{name}.list"}

    for name, model in (("one", {"framework": "Recognizer2D", **STUDENT}), ("two", PAIR)):
        config = {
            "MODEL": model,
            "DATASET": {
                "root": str(folder), "batch_size": 3, "num_workers": 0, "train": split("train"),
                "valid": split("val"), "test": split("test"),
            },
            "PIPELINE": {"train": pipeline("RandomCrop"), "valid": pipeline("CenterCrop")},
            "OPTIMIZER": {
                "name": "AdamW",
                "learning_rate": {"name": "Constant", "learning_rate": 0.001},
            },
            "epochs": 1,
        }  # fmt: skip
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))
    return folder


def study_arguments(folder: Path, *seeds: str) -> list[str]:
    return [
        "--configs", f"base={folder}/one.yaml", f"pair={folder}/two.yaml", "--seeds", *seeds,
        "--out", str(folder / "out"), "--runs", str(folder / "runs"), "--no-export",
        "--resamples", "200",
    ]  # fmt: skip


def test_a_whole_study_and_one_more_seed(
    tiny: Path, capsys: pytest.CaptureFixture[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    assert main(study_arguments(tiny, "3")) == 0
    first = load(tiny / "out" / "results.json", format="clipduet-study")
    assert first["cells"] == ["dynamic:fp32"] and first["differences_besides_model"] == []
    kept = {file: file.read_bytes() for file in (tiny / "runs").glob("*-3/*.pdparams")}
    assert len(kept) == 2
    assert main(study_arguments(tiny, "3", "4")) == 0
    assert kept == {file: file.read_bytes() for file in kept}  # nothing was trained twice
    study = load(tiny / "out" / "results.json", format="clipduet-study")
    assert study["seeds"] == [3, 4] and len(study["runs"]) == 4
    assert study["per_seed"]["dynamic:fp32"][0] == first["per_seed"]["dynamic:fp32"][0]
    for run in study["runs"]:
        assert run["steps"] == 3 and run["epochs"] == 1 and run["seconds"] > 0
        assert len(run["cells"]["dynamic:fp32"]["predictions"]) == 9
        name = {"baseline": "base", "student": "pair"}[run["role"]]
        folder = tiny / "runs" / f"{name}-{run['seed']}"
        assert run["checkpoint_sha256"] == sha256_of(folder / "best.pdparams")
        assert load_config(folder / "config.yaml").seed == run["seed"]
    assert study["data"]["list"] == str(tiny / "test.list")
    digests = {run["checkpoint_sha256"] for run in study["runs"]}
    assert len(digests) == 4
    said = capsys.readouterr()
    assert "2/2 trainings done" in said.err and "4/4 evaluated" in said.err
    assert "Over 2 seeds and 9 clips" in said.out


def test_answers_are_kept_for_the_same_checkpoint_and_clips_only(
    tiny: Path, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    asked = []
    ask = study_measure._in_paddle

    def counted(cfg: Any, checkpoint: Path, dataset: Any) -> Any:
        asked.append(checkpoint.parent.name)
        return ask(cfg, checkpoint, dataset)

    monkeypatch.setattr(study_measure, "_in_paddle", counted)
    arguments = [*study_arguments(tiny, "3"), "--out", str(tmp_path / "out")]
    arguments += ["--runs", str(tmp_path / "runs")]

    def newly_asked() -> list[str]:
        asked.clear()
        assert main(arguments) == 0
        return sorted(asked)

    assert newly_asked() == ["base-3", "pair-3"]
    assert newly_asked() == []
    shutil.copy(tmp_path / "runs/base-3/best.pdparams", tmp_path / "kept")
    weights = paddle.load(str(tmp_path / "kept"))
    weights["backbone.fc.bias"] = weights["backbone.fc.bias"] + 1.0
    paddle.save(weights, str(tmp_path / "runs/base-3/best.pdparams"))
    assert newly_asked() == ["base-3"]
    clip = tiny / (tiny / "test.list").read_text().split()[0]
    before = clip.read_bytes()
    clip.write_bytes(before + b"0")
    try:
        assert newly_asked() == ["base-3", "pair-3"]
    finally:
        clip.write_bytes(before)


def test_a_bundle_is_used_again_only_if_it_would_come_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def export(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        (tmp_path / "bundle").mkdir(exist_ok=True)
        (tmp_path / "bundle" / "bundle.json").write_text("{}")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(study_measure.subprocess, "run", export)
    monkeypatch.setattr(study_measure.Bundle, "load", lambda folder: folder)
    job = Job("one", Path("one.yaml"), 3, tmp_path, ("epochs=2",))

    def exports(**identity: str) -> int:
        before = len(commands)
        study_measure._bundle(job, tmp_path / "best.pdparams", identity, threads=1)
        return len(commands) - before

    assert exports(checkpoint="a", code="1") == 1
    assert exports(checkpoint="a", code="1") == 0
    assert exports(checkpoint="b", code="1") == 1
    assert exports(checkpoint="b", code="2") == 1
    assert [part for part in commands[0] if "=" in part] == ["seed=3", "epochs=2"]


def test_a_training_that_fails_says_why(
    tiny: Path, capsys: pytest.CaptureFixture[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    arguments = study_arguments(tiny, "5")
    assert main([*arguments, "-o", "DATASET.batch_size=400", "--parallel", "1"]) == 2
    error = capsys.readouterr().err
    assert "training base-5 failed with status 2" in error
    assert "9 training clips do not fill one batch" in error


def test_trainings_side_by_side(
    tiny: Path, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.chdir(root)
    runs = [f"{tiny}/one.yaml={tmp_path}/one", f"{tiny}/two.yaml={tmp_path}/two"]
    assert side_by_side([*runs, "--seed", "6"]) == 0
    assert "2/2 trainings done" in capsys.readouterr().err
    for name in ("one", "two"):
        assert load_config(tmp_path / name / "config.yaml").seed == 6
        assert (tmp_path / name / "best.pdparams").is_file()
        assert "best validation top-1" in (tmp_path / name / "train.log").read_text()
    assert side_by_side([*runs, "-o", "DATASET.batch_size=400"]) == 2
    assert "do not fill one batch" in capsys.readouterr().err
    assert side_by_side(["one.yaml"]) == 2
    assert "one.yaml is not CONFIG=FOLDER" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_lets_every_training_write_its_checkpoint(
    tiny: Path, tmp_path: Path, root: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-m", "benchmarks.side_by_side", "-o", "epochs=1000"]
    command += [f"{tiny}/one.yaml={tmp_path}/one", f"{tiny}/two.yaml={tmp_path}/two"]
    process = subprocess.Popen(
        command, cwd=root, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    logs = [tmp_path / name / "train.log" for name in ("one", "two")]
    deadline = time.monotonic() + 120
    while not all(log.is_file() and "epoch   2" in log.read_text() for log in logs):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)
    os.killpg(process.pid, number)  # as a terminal does
    assert process.wait(180) == 130
    assert process.stderr is not None and "goes on from the last" in process.stderr.read()
    for log in logs:
        assert log.read_text().rstrip().endswith("--resume goes on from the last checkpoint")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--configs", "a", "b=c"], "--configs a (allowed: NAME=CONFIG)"),
        (["--seeds", "1", "1"], "--seeds must be different"),
        (["--parallel", "0"], "--parallel 0"),
        (["--root", "x"], "--root without --data"),
    ],
)
def test_wrong_use_of_the_study(
    tiny: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    try:
        status = main([*study_arguments(tiny, "1"), *arguments])
    except SystemExit as stop:
        status = int(stop.code or 0)
    assert status == 2
    assert message in capsys.readouterr().err


def test_a_step_of_the_pair_is_timed_against_its_parts(tiny: Path, tmp_path: Path) -> None:
    out = tmp_path / "cost.json"
    arguments = ["-c", str(tiny / "two.yaml"), "--out", str(out), "--seconds", "0.1"]
    assert step_cost([*arguments, "--repetitions", "2"]) in (0, 1)  # a busy machine may miss it
    result = json.loads(out.read_text())
    assert set(result["steps"]) == {"pair", "Student", "Student2"}
    assert len({row["calls"] for row in result["steps"].values()}) == 1
    low, high = result["ratio_spread"]
    assert 0 < low <= high
    assert result["within_goal"] == (result["ratio"] <= result["goal"])


def test_the_loader_is_timed_by_workers(
    tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "loader.json"
    command = ["-c", str(tiny / "one.yaml"), "--workers", "0", "2", "--clips", "6"]
    command += ["--steps", "2", "--repetitions", "2", "--out", str(out)]
    assert loader([*command]) == 0
    rows = json.loads(out.read_text())["workers"]
    assert [row["workers"] for row in rows] == [0, 2]
    for row in rows:
        low, high = row["clips_per_second_spread"]
        assert 0 < low <= row["clips_per_second"] <= high and 0 <= row["waiting"] < 1
    assert "clips/s" in capsys.readouterr().out
    assert loader(["-c", str(tiny / "one.yaml"), "--workers", "-1"]) == 2
    assert "--workers -1 (allowed: 0 or more)" in capsys.readouterr().err


def test_a_step_is_timed_against_paddlevideos(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    checkout = os.environ.get("CLIPDUET_PADDLEVIDEO")
    assert paddlevideo_step(["--checkout", str(tmp_path)]) == 2
    assert "is no checkout of PaddleVideo" in capsys.readouterr().err
    if not checkout:
        pytest.skip("CLIPDUET_PADDLEVIDEO is not set: the path of a PaddleVideo checkout")
    out = tmp_path / "step.json"
    command = ["--checkout", checkout, "--batch-size", "1", "--seconds", "1"]
    assert paddlevideo_step([*command, "--repetitions", "1", "--out", str(out)]) in (0, 1)
    networks = json.loads(out.read_text())["networks"]
    assert set(networks) == {"student", "pair"}
    assert all(row["logits_difference"] < 1e-3 for row in networks.values())


def test_one_network_alone_has_no_pair_to_time(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert step_cost(["-c", str(tiny / "one.yaml")]) == 2
    assert "RecognizerDistillation" in capsys.readouterr().err


# --- methods -------------------------------------------------------------------------------------


@pytest.fixture
def methods(tiny: Path) -> Path:
    """A folder with configs of two methods whose teacher is the baseline, and one of a chain."""

    def distilled(before: str) -> dict[str, Any]:
        config = yaml.safe_load((tiny / "one.yaml").read_text())
        teacher = {**STUDENT, "pretrained": "${TEACHER}"}
        kd = {"name": "DistillationKLDivLoss", "model_name_pairs": ["Student", "Teacher"]}
        config["BEFORE"] = {"TEACHER": {"train": before}}
        config["MODEL"] = {
            "framework": "RecognizerDistillation",
            "freeze_params_list": [True, False],
            "models": [{"Teacher": teacher}, {"Student": STUDENT}],
            "loss": {"Train": [kd], "Val": PAIR["loss"]["Val"]},  # type: ignore[index]
        }
        return config

    for name, before in (("self", "one.yaml"), ("again", "self.yaml")):
        (tiny / f"{name}.yaml").write_text(yaml.safe_dump(distilled(before)))
    return tiny


def test_what_methods_build_on_is_trained_once_a_seed(methods: Path) -> None:
    jobs: dict[str, Job] = {}
    for name in ("one", "self", "again"):
        for seed in (1, 2):
            add_jobs(jobs, methods / f"{name}.yaml", seed, runs=Path("runs"), overrides=())
    assert sorted(jobs) == ["again-1", "again-2", "one-1", "one-2", "self-1", "self-2"]
    assert jobs["again-1"].after == ("self-1",) and jobs["self-2"].after == ("one-2",)
    (variable,) = jobs["again-1"].variables
    assert variable == ("TEACHER", str(Path("runs/self-1/best.pdparams").resolve()))
    with pytest.raises(BenchmarkError, match="rename one of them"):
        add_jobs(jobs, methods / "one.yaml", 1, runs=Path("runs"), overrides=("epochs=2",))


def test_a_whole_study_of_methods(
    methods: Path, capsys: pytest.CaptureFixture[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    arguments = [
        f"self={methods}/self.yaml", "--baseline", str(methods / "one.yaml"), "--seeds",
        "3", "4", "5", "--out", str(methods / "table"), "--runs", str(methods / "method runs"),
        "--resamples", "200",
    ]  # fmt: skip
    assert methods_main(arguments) == 0
    study = json.loads((methods / "table" / "results.json").read_text())
    assert [row["method"] for row in study["methods"]] == ["baseline", "self"]
    rows = list(csv.DictReader(io.StringIO((methods / "table" / "results.csv").read_text())))
    baseline, own = rows
    assert float(baseline["gain"]) == 0 and float(baseline["seconds_before"]) == 0
    gain = float(own["student_top1"]) - float(baseline["student_top1"])
    assert float(own["gain"]) == pytest.approx(gain, abs=2e-6)
    assert float(own["low"]) <= gain + 1e-6 and gain - 1e-6 <= float(own["high"])
    assert float(own["seconds_before"]) == pytest.approx(float(baseline["seconds"]), abs=0.1)
    assert int(own["peak_memory_mb"]) > 50 and own["steps"] == "3" and own["seeds"] == "3 4 5"
    said = capsys.readouterr()
    assert "6/6 trainings done" in said.err and "self: " in said.out
    report = (methods / "table" / "report.md").read_text()
    assert "seeds ahead" in report and "Student's t" in report

    # Another day, without the runs: what the table holds stays, unless its config has changed.
    shutil.rmtree(methods / "method runs")
    config = yaml.safe_load((methods / "self.yaml").read_text())
    (methods / "other.yaml").write_text(yaml.safe_dump({**config, "grad_clip": 1.0}))
    other = [f"other={methods}/other.yaml", *arguments[1:]]
    assert methods_main(other) == 0
    assert not list((methods / "method runs").glob("self-*"))
    grown = json.loads((methods / "table" / "results.json").read_text())
    assert [row["method"] for row in grown["methods"]] == ["baseline", "other", "self"]
    assert grown["methods"][0] == study["methods"][0] and grown["methods"][2] == study["methods"][1]
    (methods / "self.yaml").write_text(yaml.safe_dump({**config, "grad_clip": 2.0}))
    assert methods_main(other) == 0
    again = json.loads((methods / "table" / "results.json").read_text())
    assert [row["method"] for row in again["methods"]] == ["baseline", "other"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kdd"], "method kdd: there is no configs/methods/kdd.yaml; configs/methods has afd"),
        (["kd", "kd"], "kd is named twice"),
        (["kd", "--seeds", "1", "2"], "--seeds must be 3 or more"),
        (["kd", "--parallel", "0"], "--parallel 0"),
    ],
)
def test_wrong_use_of_a_study_of_methods(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str,
    root: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(root)
    assert methods_main(arguments) == 2
    assert message in capsys.readouterr().err
