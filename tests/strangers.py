"""Checkpoints that do harm: with code in them, or damaged on their way."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import paddle

from train.checkpoints.checksum import seal


class _Run:
    """Pickles as a call that writes a file."""

    def __init__(self, victim: Path) -> None:
        self._victim = victim

    def __reduce__(self) -> Any:
        return exec, (f"open({str(self._victim)!r}, 'w').close()",)


def add_payload(file: Path, victim: Path) -> None:
    """One more entry in a valid checkpoint: whoever unpickles it writes ``victim``."""
    with file.open("rb") as opened:
        content = pickle.load(opened)
    content["extra"] = _Run(victim)
    file.write_bytes(pickle.dumps(content, protocol=4))


def damage(file: Path) -> None:
    """One bit of a checkpoint that ends with its checksum is another."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 16
    file.write_bytes(content)


def save(state: Any, file: Path) -> Path:
    """Write a checkpoint as a run does."""
    paddle.save(state, str(file))
    seal(file)
    return file
