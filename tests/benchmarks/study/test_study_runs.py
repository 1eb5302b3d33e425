"""A whole study on tiny clips: stopped, continued, and what stands in its way."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import paddle
import pytest

from benchmarks.common.errors import StepError
from benchmarks.deployments.deployment import Deployment
from benchmarks.deployments.logits import read_logits
from benchmarks.study import jobs, measure
from benchmarks.study.__main__ import main
from benchmarks.study.result_file import load_study
from benchmarks.training.runs import Job
from infer.runtimes.known_answers import AnswersDiffer
from infer.system.files import sha256_of
from tests.commands_here import run_here
from train.config.load import load_config

MakeResults = Callable[..., dict[str, Any]]


def study_arguments(folder: Path, *seeds: str) -> list[str]:
    return [
        "--configs", f"base={folder}/one.yaml", f"pair={folder}/two.yaml", "--seeds", *seeds,
        "--out", str(folder / "out"), "--runs", str(folder / "runs"), "--no-export",
        "--resamples", "200",
    ]  # fmt: skip


@pytest.fixture(scope="module")
def trained(tiny: Path, root: Path) -> Path:
    """The runs of seed 3, trained once for the tests of what is done with them."""
    runs = tiny / "runs of seed 3"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        run_here(patch)
        arguments = ["--out", str(tiny / "out of seed 3"), "--runs", str(runs)]
        assert main([*study_arguments(tiny, "3"), *arguments]) == 0
    return runs


def test_a_whole_study_and_one_more_seed(
    tiny: Path,
    trained: Path,
    capsys: pytest.CaptureFixture[str],
    root: Path,
    trains_here: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(root)
    shutil.copytree(trained, tiny / "runs")
    assert main(study_arguments(tiny, "3")) == 0
    first = load_study(tiny / "out" / "results.json")
    assert first["cells"] == ["dynamic:fp32"] and first["differences_besides_model"] == []
    kept = {file: file.read_bytes() for file in (tiny / "runs").glob("*-3/*.pdparams")}
    assert len(kept) == 2
    assert main(study_arguments(tiny, "3", "4")) == 0
    assert kept == {file: file.read_bytes() for file in kept}  # nothing was trained twice
    study = load_study(tiny / "out" / "results.json")
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
    logits = read_logits(tiny / "out" / "results.json", study["logits"])
    assert study["data"]["paths"] == [f"{index}.mp4" for index in range(18, 27)]
    assert len(logits) == len(study["runs"])
    for run in study["runs"]:
        table = logits[f"{run['role']}/{run['seed']}/dynamic:fp32"]
        assert table.argmax(axis=1).tolist() == run["cells"]["dynamic:fp32"]["predictions"]
    digests = {run["checkpoint_sha256"] for run in study["runs"]}
    assert len(digests) == 4
    said = capsys.readouterr()
    assert "2 of 2 trainings done" in said.err and "4/4 evaluated" in said.err
    assert "Over 2 seeds and 9 clips" in said.out


def test_answers_are_kept_for_the_same_checkpoint_and_clips_only(
    tiny: Path, trained: Path, tmp_path: Path, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    shutil.copytree(trained, tmp_path / "runs", ignore=shutil.ignore_patterns(measure.ANSWERS))
    # They are finished.
    monkeypatch.setattr("benchmarks.study.__main__.train_all", lambda *_, **__: None)
    asked = []
    ask = measure.answer_in_paddle

    def counted(cfg: Any, checkpoint: Path, dataset: Any) -> Any:
        asked.append(checkpoint.parent.name)
        return ask(cfg, checkpoint, dataset)

    monkeypatch.setattr(measure, "answer_in_paddle", counted)
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


def test_a_deployment_that_cannot_run_here_is_left_out(
    tiny: Path,
    trained: Path,
    tmp_path: Path,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Such as 8 bits that saturate on this processor, in one of the bundles."""

    @contextlib.contextmanager
    def opened(job: Job, cell: Deployment, threads: int) -> Iterator[Any]:
        if cell.precision == "int8" and job.name == "pair":
            raise AnswersDiffer("onnxruntime", "sums saturate")
        yield SimpleNamespace(run=lambda clips: np.zeros((len(clips), 3), np.float32))

    monkeypatch.chdir(root)
    shutil.copytree(trained, tmp_path / "runs")
    monkeypatch.setattr("benchmarks.study.__main__.train_all", lambda *_, **__: None)
    weights = []

    def bundle(job: Job, *_: object, reduce_range: bool, **__: object) -> Job:
        weights.append(reduce_range)
        return job

    monkeypatch.setattr(measure, "_bundle", bundle)
    monkeypatch.setattr(measure, "open_cell", opened)
    arguments = ["--out", str(tmp_path / "out"), "--runs", str(tmp_path / "runs"), "--export"]
    assert main([*study_arguments(tiny, "3"), *arguments, "--reduce-range"]) == 0
    study = load_study(tmp_path / "out" / "results.json")
    assert weights and all(weights) and study["conditions"]["reduce_range"] is True
    assert study["cells"] == ["dynamic:fp32", "onnxruntime:fp32"]
    assert study["left_out"] == [{"what": "onnxruntime:int8", "reason": "sums saturate"}]
    assert all(list(run["cells"]) == study["cells"] for run in study["runs"])
    assert len(study["logits"]["keys"]) == 4
    assert "sums saturate" in (tmp_path / "out" / "report.md").read_text()
    assert "sums saturate" in capsys.readouterr().err


def test_a_bundle_is_used_again_only_if_it_would_come_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands: list[list[str]] = []

    def export(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        (tmp_path / "bundle").mkdir(exist_ok=True)
        (tmp_path / "bundle" / "bundle.json").write_text("{}")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(jobs.subprocess, "run", export)
    monkeypatch.setattr(measure.Bundle, "load", lambda folder: folder)
    job = Job("one", Path("one.yaml"), 3, tmp_path, ("epochs=2",))

    def exports(*, reduce_range: bool = False, **identity: str) -> int:
        before = len(commands)
        weights = tmp_path / "best.pdparams"
        measure._bundle(job, weights, identity, threads=1, reduce_range=reduce_range)
        return len(commands) - before

    assert exports(checkpoint="a", code="1") == 1
    assert exports(checkpoint="a", code="1") == 0
    assert exports(checkpoint="b", code="1") == 1
    assert exports(checkpoint="b", code="2") == 1
    assert [part for part in commands[0] if "=" in part] == ["seed=3", "epochs=2"]
    assert exports(checkpoint="b", code="3", reduce_range=True) == 1
    assert ["--reduce-range" in command for command in commands] == [False, False, False, True]


def test_a_training_that_fails_says_why(
    tiny: Path, capsys: pytest.CaptureFixture[str], root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(root)
    arguments = study_arguments(tiny, "5")
    assert main([*arguments, "-o", "DATASET.batch_size=400", "--parallel", "1"]) == 2
    error = capsys.readouterr().err
    assert "training base-5 failed with status 2" in error
    assert "9 training clips" in error


def test_an_export_that_fails_says_why(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(StepError) as caught:
        jobs.run_export(
            "export", "--out", str(tmp_path / "bundle"), label="base-3",
            checkpoint=tmp_path / "none.pdparams", config=tiny / "one.yaml", changes=("seed=3",),
            hint="what to do",
        )  # fmt: skip
    assert caught.value.exit_status == 2
    lines = str(caught.value).splitlines()
    assert "base-3" in lines[0] and lines[-1] == "what to do"
    assert "none.pdparams" in "\n".join(lines[1:-1])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--configs", "a", "b=c"], "--configs a (allowed: NAME=CONFIG)"),
        (["--seeds", "1", "1"], "--seeds names one twice"),
        (["--seeds", "-1"], "--seeds is -1; allowed: 0 to "),
        (["--resamples", "0"], "--resamples is 0; allowed: 100 to "),
        (["--parallel", "0"], "--parallel is 0"),
        (["--root", "x"], "--root without --data"),
        (["--reduce-range"], "--reduce-range is about exported files"),
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
