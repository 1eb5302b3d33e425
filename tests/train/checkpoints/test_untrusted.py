"""Wherever training reads a checkpoint: none runs code, none is damaged without a word."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.strangers import add_payload, damage, save
from tests.train.tiny import ALONE, KD, STUDENT, TEACHER, distilled
from train.__main__ import main
from train.checkpoints.checkpoint import BEST, LATEST
from train.distill.build_recognizer import build_recognizer

SINGLE_TEACHER = {"framework": "Recognizer2D", **TEACHER}

Entry = Callable[[Callable[..., Path], Path], tuple[Path, list[str]]]
"""From `method` and a folder to a checkpoint and the arguments of a training that reads it."""


def stranger(tmp_path: Path, model: dict[str, Any]) -> Path:
    return save(build_recognizer(model, seed=3).state_dict(), tmp_path / "stranger.pdparams")


def weights(method: Callable[..., Path], tmp_path: Path) -> tuple[Path, list[str]]:
    file = stranger(tmp_path, ALONE)
    return file, ["-c", str(method("alone", ALONE)), "--weights", str(file)]


def of_the_config(method: Callable[..., Path], tmp_path: Path) -> tuple[Path, list[str]]:
    file = stranger(tmp_path, ALONE)
    return file, ["-c", str(method("alone", ALONE, weights=str(file)))]


def backbone(method: Callable[..., Path], tmp_path: Path) -> tuple[Path, list[str]]:
    file = stranger(tmp_path, ALONE)
    block = {**STUDENT["backbone"], "pretrained": str(file)}
    return file, ["-c", str(method("alone", {**ALONE, "backbone": block}))]


def teacher(method: Callable[..., Path], tmp_path: Path) -> tuple[Path, list[str]]:
    file = stranger(tmp_path, SINGLE_TEACHER)
    return file, ["-c", str(method("kd", distilled(KD, pretrained=str(file))))]


def resumed(method: Callable[..., Path], tmp_path: Path) -> tuple[Path, list[str]]:
    arguments = ["-c", str(method("alone", ALONE))]
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    return tmp_path / "out" / LATEST, [*arguments, "--resume"]


def of_a_stage(method: Callable[..., Path], tmp_path: Path) -> tuple[Path, list[str]]:
    method("teacher", SINGLE_TEACHER)
    folder = tmp_path / "out" / "before" / "teacher"
    command = ["-c", str(tmp_path / "teacher.yaml"), "--output", str(folder)]
    assert main([*command, "--seed", "5"]) == 0
    kd = method("kd", distilled(KD), BEFORE={"TEACHER": {"train": "teacher.yaml"}})
    return folder / BEST, ["-c", str(kd)]


def latest_of_a_stage(method: Callable[..., Path], tmp_path: Path) -> tuple[Path, list[str]]:
    file, arguments = of_a_stage(method, tmp_path)
    return file.with_name(LATEST), arguments


def labeller(method: Callable[..., Path], tmp_path: Path) -> tuple[Path, list[str]]:
    file = stranger(tmp_path, SINGLE_TEACHER)
    method("teacher", SINGLE_TEACHER)
    clips = {"format": "VideoDataset", "file_path": "train.list"}
    block = {"label": "teacher.yaml", "weights": str(file), "clips": clips}
    config = method("semi", ALONE, BEFORE={"PSEUDO": block})
    return file, ["-c", str(config), "-o", "DATASET.train.file_path=${PSEUDO}"]


ENTRIES = [weights, of_the_config, backbone, teacher, resumed, of_a_stage, latest_of_a_stage,
           labeller]  # fmt: skip


@pytest.mark.parametrize("entry", ENTRIES)
def test_no_checkpoint_runs_code_or_is_damaged_without_a_word(
    entry: Entry, method: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, arguments = entry(method, tmp_path)
    arguments += ["--output", str(tmp_path / "out")]
    whole, victim = file.read_bytes(), tmp_path / "victim"
    for spoil, words in (
        (lambda: add_payload(file, victim), "builtins.exec"),
        (lambda: damage(file), f"{file} is damaged"),
    ):
        spoil()
        capsys.readouterr()
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert words in said and str(file) in said and "Traceback" not in said
        assert not victim.exists()
        assert file.parent == tmp_path / "out" or not (tmp_path / "out" / BEST).exists()
        file.write_bytes(whole)


@pytest.mark.parametrize("entry", [weights, resumed, of_a_stage, labeller])
def test_a_checkpoint_that_is_trusted_is_read_as_paddle_reads_it(
    entry: Entry, method: Callable[..., Path], tmp_path: Path
) -> None:
    file, arguments = entry(method, tmp_path)
    arguments += ["--output", str(tmp_path / "out"), "--trust"]
    add_payload(file, tmp_path / "victim")
    assert main(arguments) == 0
    assert (tmp_path / "victim").exists()


def test_no_config_can_trust(
    method: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, arguments = weights(method, tmp_path)
    add_payload(file, tmp_path / "victim")
    for change in ("trust=true", "_trust=true"):
        assert main([*arguments, "-o", change, "--output", str(tmp_path / "out")]) == 2
        assert "unknown key" in capsys.readouterr().err
    assert not (tmp_path / "victim").exists()


def test_what_a_run_writes_has_its_checksum(method: Callable[..., Path], tmp_path: Path) -> None:
    _, arguments = weights(method, tmp_path)
    assert main([*arguments, "--output", str(tmp_path / "out")]) == 0
    for name in (BEST, LATEST):
        content, (label, kind, digest) = _parted(tmp_path / "out" / name)
        assert (label, kind) == ("clipduet", "sha256")
        assert hashlib.sha256(content).hexdigest() == digest
    assert json.loads((tmp_path / "out" / "best.json").read_text())["epoch"] == 1


def _parted(file: Path) -> tuple[bytes, list[str]]:
    """The pickle, and the words of the line behind it."""
    content, _, line = file.read_bytes()[:-1].rpartition(b"\n")
    return content, line.decode().split()
