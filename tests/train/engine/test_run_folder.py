"""The folder of a run: what is in it, who may write to it, what goes on there."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
import pytest

from infer.system.files import WriteError
from tests.train.tiny import ALONE, PAIR, run
from train.__main__ import main
from train.checkpoints.checkpoint import BEST, LATEST, save_best, save_latest
from train.checkpoints.run_lock import run_lock
from train.config.identity import changed_settings, completed, identity
from train.config.load import load_config
from train.distill.build_recognizer import build_recognizer


def test_a_finished_run_is_left_as_it_is_and_another_is_not_overwritten(
    experiment: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = experiment(ALONE, epochs=1)
    arguments = ["-c", str(file)]
    assert main(arguments) == 0
    before = (tmp_path / "run" / LATEST).stat().st_mtime_ns
    best = str(tmp_path / "run" / BEST)
    capsys.readouterr()
    assert main([*arguments, "--resume"]) == 0
    assert f"--weights {best}" in capsys.readouterr().err
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert "--resume" in said and f"--weights {best}" in said
    assert main([*arguments, "--resume", "-o", "OPTIMIZER.weight_decay=0.5"]) == 2
    assert "weight_decay" in capsys.readouterr().err
    assert main([*arguments, "--resume", "-o", "epochs=2"]) == 2
    said = capsys.readouterr().err
    assert "epochs" in said and f"--weights {best}" in said
    assert (tmp_path / "run" / LATEST).stat().st_mtime_ns == before
    assert main([*arguments, "--weights", best, "--output", str(tmp_path / "longer")]) == 0


@pytest.mark.parametrize("there", [False, True])
def test_a_run_that_is_refused_leaves_no_folder_that_it_made(
    experiment: Callable[..., Path], tmp_path: Path, there: bool
) -> None:
    folder = tmp_path / "runs" / "a"
    if there:
        folder.mkdir(parents=True)
    wrong = ["--output", str(folder), "-o", "DATASET.batch_size=1000"]
    assert main(["-c", str(experiment(ALONE)), *wrong]) == 2
    assert folder.exists() == folder.parent.exists() == there


def test_a_run_that_is_stopped_before_its_first_checkpoint_does_not_promise_one(
    experiment: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("train.engine.loop.probe_clips", stop)
    assert main(["-c", str(experiment(ALONE, epochs=1))]) == 130
    said = capsys.readouterr().err
    assert "stopped; before the first checkpoint" in said and "--resume" not in said
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("change", ["label", "clip", "moved"])
def test_a_run_goes_on_with_the_clips_that_it_began_with(
    experiment: Callable[..., Path],
    clips: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    change: str,
) -> None:
    shutil.copytree(clips, tmp_path / "data")
    file = experiment(ALONE, epochs=1)
    assert main(["-c", str(file), "-o", f"DATASET.root={tmp_path / 'data'}"]) == 0
    listed = tmp_path / "data" / "train.list"
    name, _, label = listed.read_text().splitlines()[0].rpartition(" ")
    if change == "label":
        text = listed.read_text()
        listed.write_text(text.replace(f"{name} {label}", f"{name} {(int(label) + 1) % 3}", 1))
    elif change == "clip":
        with (listed.parent / name).open("ab") as clip:
            clip.write(b"0")
    root = (tmp_path / "data").rename(tmp_path / "moved")
    status = main(["-c", str(file), "--resume", "-o", f"DATASET.root={root}"])
    errors = capsys.readouterr().err
    if change == "moved":
        assert status == 0
    else:
        assert status == 2 and "other training" in errors


def test_two_trainings_never_share_a_folder(
    experiment: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = experiment(ALONE, epochs=1)
    with run_lock(tmp_path / "run"):
        assert main(["-c", str(file)]) == 2
    assert f"process {os.getpid()} is training in {tmp_path / 'run'}" in capsys.readouterr().err
    assert not (tmp_path / "run" / LATEST).exists()
    assert main(["-c", str(file)]) == 0


def test_an_output_that_is_no_folder_is_told(
    experiment: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("...")
    assert main(["-c", str(experiment(ALONE)), "--output", str(tmp_path / "file")]) == 2
    assert f"--output {tmp_path / 'file'} cannot be written" in capsys.readouterr().err


def test_the_run_keeps_its_settings_overrides_included(
    experiment: Callable[..., Path], tmp_path: Path
) -> None:
    file = experiment(PAIR, epochs=1)
    run(file, "seed=7", "OPTIMIZER.weight_decay=0.125")
    kept = load_config(tmp_path / "run" / "config.yaml")
    assert kept.to_dict() == load_config(file, ["seed=7", "OPTIMIZER.weight_decay=0.125"]).to_dict()


@pytest.mark.parametrize("file", [LATEST, BEST])
def test_a_checkpoint_that_cannot_be_written_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    recognizer = build_recognizer(ALONE, seed=1)
    optimizer = paddle.optimizer.AdamW(parameters=recognizer.trainable_parameters())

    def write() -> None:
        if file == LATEST:
            save_latest(tmp_path, recognizer, optimizer, {})
        else:
            save_best(tmp_path, recognizer, {})

    def full(content: Any, path: str) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    write()
    before = (tmp_path / file).read_bytes()
    monkeypatch.setattr(paddle, "save", full)
    with pytest.raises(WriteError, match=f"{file} .*No space left"):
        write()
    assert (tmp_path / file).read_bytes() == before
    assert not list(tmp_path.glob(f".{file}*"))


def test_a_run_of_before_a_setting_existed_has_its_default(
    experiment: Callable[..., Path],
) -> None:
    cfg = load_config(experiment(ALONE))
    stored = identity(cfg)
    del stored["PRECISEBN"], stored["MODEL"]["backbone"]["dropout_prob"]
    assert changed_settings(stored, identity(cfg))
    assert not changed_settings(completed(stored), identity(cfg))
    stored["MODEL"]["backbone"]["scale"] = 2.0
    assert "MODEL.backbone.scale" in changed_settings(completed(stored), identity(cfg))[0]
    assert completed({"of": "another program"}) == {"of": "another program"}
