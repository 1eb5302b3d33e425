"""Clips whose colours are nearly equal, so that other cameras turn answers, and networks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.benchmarks.gate.networks import SEES, write_bundle

CLIPS = 24
BROKEN = 7
"""Number of the clip that is no video."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """A list of clips (one of them broken), and bundles of two pairs: a1, a2, b1 and b2."""
    folder = tmp_path_factory.mktemp("world")
    rng = np.random.default_rng(0)
    lines = []
    for number in range(CLIPS):
        colour = 120 + rng.normal(0, 2.5, 3)
        frames = np.clip(colour + rng.normal(0, 12, (7, 16, 16, 3)), 0, 255).astype(np.uint8)
        write_clip(folder / "clips" / f"clip {number}.mp4", frames)
        lines.append(f"clip {number}.mp4 {int(np.argmax(colour))}")
    (folder / "clips" / f"clip {BROKEN}.mp4").write_bytes(b"this is no video")
    (folder / "test.list").write_text("\n".join(lines) + "\n", encoding="utf-8")
    for name, wrong in (("a1", 0.04), ("a2", 0.02), ("b1", 0.0), ("b2", 0.005)):
        fp32 = SEES * (1 + wrong * np.array([1, -1, 0]))
        write_bundle(folder / name, fp32, fp32 * np.array([1, 1, 0.99]))
    return folder


@pytest.fixture
def run(world: Path, tried: None) -> Callable[..., int]:
    """`run(out, *more, baseline="a1 a2", student="b1 b2") -> status` of the command."""
    from benchmarks.perturb.__main__ import main

    def call(out: Path, *more: str, baseline: str = "a1 a2", student: str = "b1 b2") -> int:
        return main(
            [
                "--baseline", *(str(world / name) for name in baseline.split()),
                "--student", *(str(world / name) for name in student.split()),
                "--data", str(world / "test.list"), "--root", str(world / "clips"),
                "--out", str(out), "--resamples", "300", "--threads", "1", *more,
            ]
        )  # fmt: skip

    return call
