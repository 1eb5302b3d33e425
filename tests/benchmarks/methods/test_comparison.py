"""The study of methods: what they build on, a whole one, and one that grows."""

from __future__ import annotations

import csv
import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from scipy.stats import ttest_1samp

from benchmarks.common.errors import BenchmarkError
from benchmarks.methods import table
from benchmarks.methods.__main__ import Method, _test_sets
from benchmarks.methods.__main__ import main as methods_main
from benchmarks.methods.table import as_markdown
from benchmarks.study.__main__ import main as study_main
from benchmarks.study.jobs import add_jobs, recipe_sha256
from benchmarks.training.runs import Job
from tests.benchmarks.tiny import PAIR, STUDENT
from train.config.load import load_config
from train.data import splits
from train.data.splits import build_dataset


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
    with pytest.raises(BenchmarkError, match=r"one\.yaml"):
        add_jobs(jobs, methods / "one.yaml", 1, runs=Path("runs"), overrides=("epochs=2",))


def test_the_test_clips_are_listed_once_for_methods_that_sample_alike(
    tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []

    def counted(cfg: Any, split: str, **options: Any) -> Any:
        built.append(split)
        return build_dataset(cfg, split, **options)

    monkeypatch.setattr(splits, "build_dataset", counted)
    cfg = load_config(tiny / "one.yaml")
    sets, _ = _test_sets([Method(name, tiny / "one.yaml", cfg) for name in ("baseline", "other")])
    assert list(sets) == [cfg.specs["test"]] and built.count("test") == 1


def test_a_whole_study_of_methods(
    methods: Path, capsys: pytest.CaptureFixture[str], root: Path, trains_here: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(root)
    # As few as there can be.
    monkeypatch.setattr("benchmarks.methods.__main__.LEAST_SEEDS", 2)
    arguments = [
        f"self={methods}/self.yaml", "--baseline", str(methods / "one.yaml"), "--seeds",
        "3", "4", "--out", str(methods / "table"), "--runs", str(methods / "method runs"),
        "--parallel", "2", "--resamples", "200",
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
    assert int(own["peak_memory_mb"]) > 50 and own["steps"] == "3" and own["seeds"] == "3 4"
    said = capsys.readouterr()
    assert "4 of 4 trainings done" in said.err and "self: " in said.out
    report = (methods / "table" / "report.md").read_text()
    assert "seeds ahead" in report and "Student's t" in report

    # Another day, without the runs: what the table holds stays.
    shutil.rmtree(methods / "method runs")
    config = yaml.safe_load((methods / "one.yaml").read_text())
    (methods / "other.yaml").write_text(yaml.safe_dump({**config, "grad_clip": 1.0}))
    other = [f"other={methods}/other.yaml", *arguments[1:]]
    assert methods_main([*other, "--parallel", "1"]) == 0
    trained = {folder.name for folder in (methods / "method runs").iterdir()}
    assert trained == {"other-3", "other-4"}
    grown = json.loads((methods / "table" / "results.json").read_text())
    assert [row["method"] for row in grown["methods"]] == ["baseline", "other", "self"]
    assert grown["methods"][0] == study["methods"][0] and grown["methods"][2] == study["methods"][1]
    rows = list(csv.DictReader(io.StringIO((methods / "table" / "results.csv").read_text())))
    assert [row["trainings_at_a_time"] for row in rows] == ["2", "1", "2"]
    assert "trainings at a time: other" in (methods / "table" / "report.md").read_text()

    # What does not hold any more is not dropped: it is measured again, or the study is refused.
    capsys.readouterr()
    for wrong, said in (
        ([*other, "-o", "epochs=2"], "epochs=2"),
        ([*other, "--seeds", "3", "6"], "seeds 6"),
    ):
        assert methods_main(wrong) == 2
        told = capsys.readouterr().err
        assert "results.json holds" in told and said in told and "--out" in told
    (methods / "self.yaml").write_text(yaml.safe_dump({**config, "grad_clip": 2.0}))
    assert methods_main(other) == 2
    assert "config of self" in capsys.readouterr().err
    assert json.loads((methods / "table" / "results.json").read_text()) == grown
    assert methods_main([f"self={methods}/self.yaml", *other]) == 0
    again = json.loads((methods / "table" / "results.json").read_text())
    assert [row["method"] for row in again["methods"]] == ["baseline", "self", "other"]
    assert again["methods"][2] == grown["methods"][1]
    assert again["methods"][1] != grown["methods"][2]


def test_what_a_method_builds_on_is_part_of_it(methods: Path, tmp_path: Path) -> None:
    names = ("one", "self", "again")
    for name in names:
        shutil.copy(methods / f"{name}.yaml", tmp_path)
    before = [recipe_sha256(tmp_path / f"{name}.yaml") for name in names]
    assert len(set(before)) == 3
    config = yaml.safe_load((tmp_path / "one.yaml").read_text())
    (tmp_path / "one.yaml").write_text(yaml.safe_dump({**config, "grad_clip": 3.0}))
    after = [recipe_sha256(tmp_path / f"{name}.yaml") for name in names]
    assert not set(before) & set(after)


def test_a_study_makes_its_own_teachers(
    methods: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEACHER", "somebody.pdparams")
    configs = [f"one={methods}/one.yaml", f"self={methods}/self.yaml"]
    runs = ["--runs", str(methods / "own")]
    assert methods_main([configs[1], "--baseline", str(methods / "one.yaml"), *runs]) == 2
    assert "TEACHER=somebody.pdparams" in capsys.readouterr().err
    assert study_main(["--configs", *configs, *runs]) == 2
    assert "TEACHER=somebody.pdparams" in capsys.readouterr().err
    assert not (methods / "own").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["kdd"], "configs/methods/kdd.yaml"),
        (["kd", "kd"], "kd is named twice"),
        (["kd", "--seeds", "1", "2"], "--seeds must be 3 or more"),
        (["kd", "--parallel", "0"], "--parallel is 0"),
    ],
)
def test_wrong_use_of_a_study_of_methods(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str,
    root: Path, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(root)
    assert methods_main(arguments) == 2
    assert message in capsys.readouterr().err


def test_every_two_of_a_few_methods_are_compared(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = json.loads((root / "reports" / "methods" / "results.json").read_text())
    report = as_markdown(study)
    top1 = {
        row["method"]: {run["seed"]: run["cells"]["dynamic:fp32"]["top1"] for run in row["runs"]}
        for row in study["methods"][1:]
    }
    one, other = sorted(top1, key=lambda name: -sum(top1[name].values()))[:2]
    ahead = [100 * (top1[one][seed] - top1[other][seed]) for seed in study["seeds"]]
    interval = ttest_1samp(ahead, 0).confidence_interval(0.95)
    cells = [np.mean(ahead), interval.low, interval.high]
    point, low, high = (f"{value:+.2f}".replace("-", "\N{MINUS SIGN}") for value in cells)
    row = f"| {one} | {other} | {point} [{low}, {high}] |".replace("_", r"\_")
    assert row in report
    assert report.count("| p (Holm) |") == 2
    monkeypatch.setattr(table, "MOST_PAIRED", len(top1) - 1)
    assert row not in as_markdown(study)
