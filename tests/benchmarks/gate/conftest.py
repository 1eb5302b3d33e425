"""Bundles that the gate's tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.gate.networks import BLIND, COLOURS, SEES, STUCK, write_bundle


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """A list of 30 clips (one of them broken) and bundles of every kind of health."""
    folder = tmp_path_factory.mktemp("world")
    lines = []
    rng = np.random.default_rng(0)
    for number in range(30):
        label = number % 3
        colour = np.array(list(COLOURS.values())[label])
        frames = np.clip(colour + rng.integers(-20, 20, (3, 16, 16, 3)), 0, 255).astype(np.uint8)
        write_clip(folder / "clips" / f"clip {number}.mp4", frames)
        lines.append(f"clip {number}.mp4 {label}")
    (folder / "clips" / "clip 29.mp4").write_bytes(b"this is no video")
    (folder / "test.list").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_bundle(folder / "good", SEES, SEES + 1e-4)
    write_bundle(folder / "blind", BLIND, BLIND)
    write_bundle(folder / "lossy", SEES, BLIND)
    noise = np.random.default_rng(0).normal(0, 3, (3, 3))
    write_bundle(folder / "noisy", SEES, SEES, noise=np.eye(3) + noise)
    write_bundle(folder / "stuck", SEES, STUCK)
    write_bundle(folder / "collapsed", STUCK, STUCK)
    write_bundle(folder / "nan", SEES, SEES * np.nan)
    return folder
