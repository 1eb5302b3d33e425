"""Every command of the repository: its help is clean and needs no heavy package."""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infer.system.errors import ClipDuetError
from infer.system.signals import Stopped

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("infer", "train", "export", "benchmarks")
HEAVY = (
    *("paddle", "onnx", "onnxruntime", "openvino", "tensorrt", "paddle2onnx"),
    *("numba", "scipy", "PIL", "tritonclient", "visualdl", "tensorboardX"),
    *("jinja2", "matplotlib"),
)
FILES = ("infer/predict.py", "train/__main__.py", "export/triton/client.py")
"""Commands that are run by their path too."""
ALONE = {
    "benchmarks.peers.paddlevideo_server",
    "benchmarks.service.triton_client",
    "export.triton.video_client",
}
"""Programs that run where nothing of this project is installed, and cannot use its runner."""
FORMER = {"benchmarks.study_methods": "benchmarks.methods"}
"""Former names of commands, which still work, and today's, which they call themselves by."""

BLOCK = f"""
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {HEAVY}:
            raise ImportError(name + " is imported for --help")

sys.meta_path.insert(0, Block())
"""


def _modules() -> list[str]:
    """The names that `python -m` runs."""
    found = []
    for path in sorted(file for room in ROOMS for file in (ROOT / room).rglob("*.py")):
        if '\nif __name__ == "__main__":' in path.read_text(encoding="utf-8"):
            name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            found.append(name.removesuffix(".__main__"))
    return sorted(set(found) - ALONE)


MODULES = _modules()


@pytest.mark.parametrize(
    "command", [*(["-m", name] for name in MODULES), *([file] for file in FILES)], ids=" ".join
)
def test_help_is_clean_and_imports_nothing_heavy(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(BLOCK)
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, *command, "--help"], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    usage = done.stdout.split("\n")[0]
    assert usage.startswith("usage: ")
    # The client is copied and run as client.py.
    if command[0] == "-m" and command[1] not in ("infer", "export.triton.client"):
        name = FORMER.get(command[1], command[1])
        assert usage.startswith(f"usage: python -m {name} ")


INTERRUPT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name.endswith("infer.command.parser") or name == "clipduet.command.parser":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
"""


@pytest.mark.parametrize(
    "command",
    [
        *(["-m", name] for name in ("infer", "infer.predict", "infer.stream", "infer.doctor")),
        *(["-m", name] for name in ("train", "export", "benchmarks.gain")),
        *(["infer/predict.py"], ["train/__main__.py"], ["clipduet"]),
    ],
    ids=" ".join,
)
def test_ctrl_c_while_a_command_is_loaded_ends_it_quietly(
    command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT)
    if command == ["clipduet"]:  # as pip writes it
        command = [str(tmp_path / "clipduet")]
        Path(command[0]).write_text("from infer.__main__ import main\nmain()\n")
    done = _started(command, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


@pytest.mark.parametrize("arguments", [[], ["-m", "infer.predict"]], ids=" ".join)
def test_ctrl_c_is_the_business_of_a_program_that_imports_the_package(
    arguments: list[str], tmp_path: Path
) -> None:
    program = tmp_path / "program.py"
    program.write_text(
        "import os, signal\nimport infer.predict, infer.__main__\n"
        "try:\n    os.kill(os.getpid(), signal.SIGINT)\n    signal.pause()\n"
        "except KeyboardInterrupt:\n    print('mine')\n"
    )
    done = _started([str(program), *arguments], tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "mine\n", "")


def _started(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(folder), str(ROOT)])
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": path},
    )  # fmt: skip


ALIASES = {"-c": "--config", "-o": "--override", "--out": "--output", "-w": "--weights"}


class WorkFailedError(ClipDuetError):
    exit_status = 1


ENDS = [
    (ClipDuetError("what was wrong"), 2),
    (WorkFailedError("what failed"), 1),
    (FileNotFoundError(2, "No such file or directory", "a.list"), 2),
    (ModuleNotFoundError("No module named 'paddle'", name="paddle"), 2),
    (KeyboardInterrupt(), 130),
    (Stopped(signal.SIGTERM), 143),
]


COMMANDS = [name for name in MODULES if name != "infer"]


def _module(name: str) -> Any:
    folder = ROOT.joinpath(*name.split("."))
    return importlib.import_module(f"{name}.__main__" if folder.is_dir() else name)


@pytest.mark.parametrize("name", COMMANDS)
def test_common_options_mean_the_same_everywhere(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsers: list[argparse.ArgumentParser] = []

    def stop(parser: argparse.ArgumentParser, *_: object, **__: object) -> None:
        parsers.append(parser)
        raise KeyboardInterrupt

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    assert _module(name).main([]) == 130
    actions = parsers[0]._option_string_actions
    for short, long in ALIASES.items():
        assert actions.get(short) is actions.get(long), (short, long)
    if "-o" in actions:
        assert isinstance(actions["-o"], argparse._AppendAction)
    assert "-c" not in actions or "-o" in actions


@pytest.mark.parametrize("name", COMMANDS)
def test_what_ends_one_command_ends_all_alike(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = _module(name)
    for error, status in ENDS:

        def fails(*_: object, error: BaseException = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(argparse.ArgumentParser, "parse_args", fails)
        assert module.main([]) == status
        out, err = capsys.readouterr()
        assert out == "" and "Traceback" not in err
        assert err.startswith("error: ") == (status < 3)


def test_every_command_is_found() -> None:
    assert {"infer.predict", "train", "train.data.prepare", "export", "benchmarks.gain"} <= {
        *MODULES
    }
