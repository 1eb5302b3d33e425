"""A tiny bundle, videos, and the command as a process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.tiny_bundle import CLASSES, colour_frames, write_bundle

ROOT = Path(__file__).resolve().parents[3]
MISSING = "the extra corpus is not installed"


@pytest.fixture(autouse=True, scope="session")
def installed() -> None:
    if any(find_spec(package) is None for package in ("fsspec", "pyarrow", "ray")):
        pytest.skip(MISSING)


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("colours") / "bundle")


@pytest.fixture(scope="session")
def videos(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """A folder with 11 videos that have an answer and two that do not."""
    folder = tmp_path_factory.mktemp("videos")
    for number in range(10):
        colour = CLASSES[number % 3]
        write_clip(folder / f"{colour}{number}.mp4", colour_frames(colour, 4 + number))
    (folder / "empty.mp4").touch()
    (folder / "broken.mp4").write_bytes(b"no video at all")
    whole = write_clip(folder / "cut.mkv", colour_frames("green", 60, 64)).read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    return folder


@pytest.fixture
def place(colours: Path, videos: Path, tmp_path: Path) -> Path:
    """A working folder with what the page's commands name: bundles/mine and clips."""
    (tmp_path / "bundles").mkdir()
    (tmp_path / "bundles" / "mine").symlink_to(colours)
    (tmp_path / "clips").symlink_to(videos)
    return tmp_path


@pytest.fixture
def start(place: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`start(words, ...)`: a command of the page as a process, on one network and one decoder."""
    processes: list[subprocess.Popen[str]] = []

    def started(words: Sequence[str], *options: Any, **environment: str) -> subprocess.Popen[str]:
        assert words[0] == "clipduet"
        command = [sys.executable, "-m", "infer", *words[1:], "--decoders", "1", "--actors", "1"]
        process = subprocess.Popen(
            [*command, *options],
            cwd=place, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
            # What is ignored is inherited.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )  # fmt: skip
        processes.append(process)
        return process

    yield started
    for process in processes:
        process.kill()
        process.wait()
        assert process.stderr is not None
        process.stderr.close()


@pytest.fixture
def corpus(start: Callable[..., subprocess.Popen[str]]) -> Callable[..., tuple[int, str]]:
    """`corpus(words, ...) -> exit status, what it said`."""

    def run(words: Sequence[str], *options: Any, **environment: str) -> tuple[int, str]:
        process = start(words, *options, **environment)
        said = process.communicate()[1]
        assert "Traceback" not in said, said
        return process.returncode, said

    return run
