"""Wherever export and benchmarks read a checkpoint: none runs code, none is damaged unseen."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import paddle
import pytest

import benchmarks.pixels
import export.__main__
import export.qat.__main__
from tests.strangers import add_payload, damage, save

SETTINGS = "QAT: {}\nepochs: 1\n"

Command = Callable[[list[str]], int]
COMMANDS: dict[str, tuple[Command, list[str]]] = {
    "export": (export.__main__.main, ["--out", "{out}"]),
    "qat": (export.qat.__main__.main, ["--qat", "{settings}", "--out", "{out}"]),
    "pixels": (benchmarks.pixels.main, ["--out", "{out}"]),
}


@pytest.mark.parametrize("latest", [False, True], ids=["best", "latest"])
@pytest.mark.parametrize("name", COMMANDS)
def test_no_checkpoint_runs_code_or_is_damaged_without_a_word(
    name: str,
    latest: bool,
    experiment: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("PIL")
    made, victim = experiment("pair"), tmp_path / "victim"
    state: Any = paddle.load(str(made.checkpoint))
    if latest:
        state = {"format": 1, "model": state, "progress": {}}
    file = save(state, tmp_path / ("latest.ckpt" if latest else "best.pdparams"))
    command, options = COMMANDS[name]
    settings = tmp_path / "qat.yaml"
    settings.write_text(SETTINGS)
    arguments = ["-c", str(made.config), "--checkpoint", str(file)]
    arguments += [o.format(out=tmp_path / "out", settings=settings) for o in options]
    whole = file.read_bytes()
    for spoil, words in (
        (lambda: add_payload(file, victim), "builtins.exec"),
        (lambda: damage(file), f"{file} is damaged"),
    ):
        spoil()
        assert command(arguments) == 2
        said = capsys.readouterr().err
        assert words in said and str(file) in said and "Traceback" not in said
        assert not victim.exists() and not (tmp_path / "out" / "bundle.json").exists()
        file.write_bytes(whole)


@pytest.mark.parametrize("name", COMMANDS)
def test_trust_is_handed_on(
    name: str, experiment: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A trusted file is read, and what it lacks then ends the command."""
    pytest.importorskip("PIL")
    made, victim = experiment("pair"), tmp_path / "victim"
    file = save({"x": 1}, tmp_path / "best.pdparams")
    add_payload(file, victim)
    command, options = COMMANDS[name]
    settings = tmp_path / "qat.yaml"
    settings.write_text(SETTINGS)
    arguments = ["-c", str(made.config), "--checkpoint", str(file), "--trust"]
    arguments += [o.format(out=tmp_path / "out", settings=settings) for o in options]
    assert command(arguments) == 2
    assert "holds no weights" in capsys.readouterr().err
    assert victim.exists()
