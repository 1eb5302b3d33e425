"""Scalars of a run for VisualDL and TensorBoard."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.train.tiny import ALONE
from train.__main__ import main

OPTIONS = {"tensorboard": "tensorboardX", "visualdl": "visualdl"}


@pytest.mark.parametrize("option", OPTIONS)
def test_a_package_that_is_not_installed_is_told_with_its_extra(
    option: str,
    experiment: Callable[..., Path],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, OPTIONS[option], None)
    assert main(["-c", str(experiment(ALONE, epochs=1)), f"--{option}"]) == 2
    told = capsys.readouterr().err
    assert OPTIONS[option] in told and f"--{option}" in told and option in told


def test_every_viewer_gets_the_numbers_of_steps_and_epochs(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, list[tuple[str, float, int]]] = {}

    class Writer:
        def __init__(self, logdir: str) -> None:
            self.own = told.setdefault(Path(logdir).name, [])

        def add_scalar(self, name: str, value: float, step: int) -> None:
            self.own.append((name, value, step))

        def close(self) -> None:
            self.own.append(("closed", 0.0, 0))

    for module, name in (("visualdl", "LogWriter"), ("tensorboardX", "SummaryWriter")):
        monkeypatch.setitem(sys.modules, module, SimpleNamespace(**{name: Writer}))
    file = experiment(ALONE, epochs=1, log_interval=1)
    assert main(["-c", str(file), "--visualdl", "--tensorboard"]) == 0
    assert set(told) == {"vdl", "tensorboard"} and told["vdl"] == told["tensorboard"]
    *numbers, last = told["vdl"]
    assert last[0] == "closed"
    assert [step for name, _, step in numbers if name == "train/loss"] == [1, 2, 3]
    assert [step for name, _, step in numbers if name == "valid/Student.top1"] == [3]


def test_the_events_are_those_that_tensorboard_reads(
    experiment: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CRC32C_SW_MODE", "auto")  # the package sets it, and leaves it
    pytest.importorskip("tensorboardX", reason="tensorboardX is not installed: extra tensorboard")
    from tensorboardX.proto.event_pb2 import Event

    def records(content: bytes) -> Iterator[bytes]:
        """Of the TFRecord format: length, its checksum, the record, its checksum."""
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            yield content[12 : 12 + length]
            content = content[16 + length :]

    assert main(["-c", str(experiment(ALONE, epochs=1, log_interval=1)), "--tensorboard"]) == 0
    (file,) = (tmp_path / "run" / "tensorboard").iterdir()
    found: dict[str, list[Any]] = {}
    for record in records(file.read_bytes()):
        event = Event.FromString(record)
        for value in event.summary.value:
            found.setdefault(value.tag, []).append((event.step, value.simple_value))
    assert [step for step, _ in found["train/loss"]] == [1, 2, 3]
    assert all(value > 0 for _, value in found["train/loss"])
    assert "valid/Student.top1" in found
