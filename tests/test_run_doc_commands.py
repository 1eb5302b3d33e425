"""The commands of docs/deployment.md and docs/streams.md are run, on files that are made for them.

What installs something, needs a GPU or belongs to another project is left out by name.
"""

from __future__ import annotations

import functools
import importlib
import io
import itertools
import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from infer import doctor
from infer.bundle.bundle import write_bundle_json
from tests.infer.stream.peers import frames, rtsp, server, transport_stream
from tests.test_doc_blocks import ALL, folder  # noqa: F401  (the fixture)
from tests.test_doc_commands import commands
from tests.tiny_bundle import CLASSES, colour_frames

PAGES = ("docs/deployment.md", "docs/streams.md")
CAMERA = "rtsp://camera.local/1"
NOT_RUN = {
    "pip ": "installs",
    "python -m venv ": "installs",
    "python3 -m venv ": "installs",
    ". ": "needs what was installed",
    "cmake ": "tests/infer/test_cpp_example.py runs it",
    "docker ": "there may be none",
    "tritonserver ": "another project's",
    "python triton/client/client.py ": "needs a server; tests/export/triton runs it",
    "python -m export.tensorrt ": "needs a GPU",
}
GPU = ("onnxruntime-cuda", "tensorrt")
CONFIDENCE = {
    "temperature": 2.0,
    "thresholds": [{"precision": 0.9, "threshold": 0.6, "clips": 40, "right": 37}],
}
FOUND = sorted(
    {
        " ".join(word if word == "|" else shlex.quote(word) for word in words)
        for block in ALL
        if block.language == "sh" and block.place.startswith(PAGES)
        for words in commands(block.code)
    }
)
RUN = [
    command
    for command in FOUND
    if not command.startswith(tuple(NOT_RUN))
    and not any(f"--backend {name}" in command for name in GPU)
]


@pytest.fixture(scope="module")
def reader(folder: Path, write_clip: Callable[..., Path]) -> Path:  # noqa: F811
    """The folder of somebody who reads the pages, with all that the commands name."""
    bundle = folder / "bundles" / "mine"
    content = json.loads((bundle / "bundle.json").read_text())
    write_bundle_json(bundle, {**content, "confidence": CONFIDENCE})
    (folder / "data").mkdir()
    lines = []
    for number, name in enumerate(CLASSES):
        clip = write_clip(folder / "clips" / f"{name}.mp4", colour_frames(name, 12))
        lines.append(f"../clips/{clip.name} {number}\n")
    (folder / "data" / "test.list").write_text("".join(lines))
    shutil.copytree(folder / "clips", folder / "uploads")
    (folder / "yesterday").touch()
    os.utime(folder / "yesterday", (0, 0))
    return folder


@pytest.mark.parametrize("command", RUN)
def test_a_command_of_the_pages_runs(command, reader, monkeypatch, capsys) -> None:
    monkeypatch.chdir(reader)
    # How long packages take to answer on a busy machine is no matter here.
    monkeypatch.setattr(doctor, "examine", functools.partial(doctor.examine, seconds=600))
    before, _, words = command.rpartition(" | ")
    if before:
        done = subprocess.run(["bash", "-c", before], capture_output=True, text=True, check=True)
        assert done.stdout
        given = io.TextIOWrapper(io.BytesIO(done.stdout.encode()))
        monkeypatch.setattr("sys.stdin", given)
    if CAMERA in words:
        with server(rtsp(transport_stream(frames([0] * 45)))) as port:
            status = run(words.replace(CAMERA, f"rtsp://127.0.0.1:{port}/1") + " --reconnect 0")
    else:
        status = run(words)
    out, err = capsys.readouterr()
    assert status == 0, err
    options = dict(itertools.pairwise(shlex.split(words)))
    for option in ("--output", "--out", "--save-video", "--save-contact-sheet"):
        if option in options:
            written = reader / options[option]
            assert any(written.iterdir()) if written.is_dir() else written.stat().st_size
    if options.get("--format") in ("json", "jsonl") and "describe" not in words:
        rows = [json.loads(line) for line in out.splitlines()]
        assert {row["label"] for row in rows} == set(CLASSES)
        assert all(("accepted" in row) == ("--precision-goal" in words) for row in rows)


def run(command: str) -> int:
    """Run a command in this process; its exit status."""
    program, *words = shlex.split(command)
    if program == "clipduet":
        name, *words = words
        module = f"infer.{name}"
    else:
        assert (program, words[0]) == ("python", "-m")
        _, module, *words = words
    if module in ("infer.stream", "export.triton"):
        module += ".__main__"
    return importlib.import_module(module).main(words)


def test_nothing_is_left_out_without_a_reason() -> None:
    assert len(RUN) >= 12 and len(FOUND) - len(RUN) <= 22
    assert sum(command.startswith("python -m infer.stream") for command in RUN) == 2
    for beginning in NOT_RUN:
        assert any(command.startswith(beginning) for command in FOUND), beginning
