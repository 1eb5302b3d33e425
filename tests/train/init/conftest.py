"""Class folders of clips that no config is written for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.train.init.clip_classes import CLASSES


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """Eight clips of each of three classes, no two alike."""
    root = tmp_path_factory.mktemp("source") / "clips"
    rng = np.random.default_rng(0)
    for name, channel in CLASSES.items():
        for index in range(8):
            frames = np.zeros((9, 40, 48, 3), np.uint8)
            frames[:] = np.kron(rng.integers(0, 160, (5, 6, 3)), np.ones((8, 8, 1)))
            frames[..., channel] += (np.arange(9, dtype=np.uint8) * 8)[:, None, None]
            (root / name).mkdir(parents=True, exist_ok=True)
            write_clip(root / name / f"{index}.mp4", frames)
    return root


@pytest.fixture
def clips(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, in the current folder."""
    monkeypatch.chdir(tmp_path)
    for name in ("TEACHER", "BEFORE"):
        monkeypatch.delenv(name, raising=False)
    return Path(shutil.copytree(source, tmp_path / "clips"))
