"""Options that mean the same in every command of export/, and their older spelling."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import export.__main__
import export.qat.__main__
from export import command_line, output_option

COMMANDS = {
    "export": (export.__main__.main, command_line.parser, []),
    "qat": (export.qat.__main__.main, export.qat.__main__.parser, ["--qat", "a.yaml"]),
}


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest) -> tuple[Callable[..., int], Callable[..., Any]]:
    """A main, and what it makes of its arguments beside the checkpoint."""
    main, parser, more = COMMANDS[request.param]
    given = ["--checkpoint", "none/best.pdparams", *more]
    return (
        lambda *words: main([*given, *words]),
        lambda *words: output_option.parse_options(parser(), [*given, *words]),
    )


@pytest.mark.parametrize("option", ["--out", "--output", "--outp"])
def test_o_is_an_override_and_out_the_folder(
    command: Any, option: str, caplog: pytest.LogCaptureFixture
) -> None:
    options = command[1](option, "runs/b", "-o", "a.b=c", "--override", "epochs=2")
    assert (options.out, options.override) == ("runs/b", ["a.b=c", "epochs=2"])
    assert not caplog.messages


@pytest.mark.parametrize("folder", ["runs/b", "runs/lr=0.1", "b"])
def test_the_folder_may_still_be_named_by_o(
    command: Any, folder: str, capsys: pytest.CaptureFixture[str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    options = command[1]("-o", "a.b=c", "-o", folder)
    assert (options.out, options.override) == (folder, ["a.b=c"])
    capsys.readouterr()
    assert command[0]("-o", folder) == 2
    said = capsys.readouterr()
    assert f"-o {folder} is deprecated: write --out {folder}" in said.err and said.out == ""


def test_without_a_folder_nothing_is_done(command: Any, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        command[0]("-o", "a.b=c")
    assert caught.value.code == 2 and "--out" in capsys.readouterr().err
