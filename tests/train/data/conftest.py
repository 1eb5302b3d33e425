"""A tiny UCF101."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.train.data.prepared import CLASSES


@pytest.fixture(scope="module")
def ucf_clips(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> Path:
    """All twelve videos of a little UCF101: five frames of 48 x 64 pixels."""
    folder = tmp_path_factory.mktemp("ucf")
    rng = np.random.default_rng(0)
    for name in CLASSES:
        for number in (1, 2, 3):
            for part in ("train", "test"):
                cells = rng.integers(0, 256, (5, 3, 4, 3), dtype=np.uint8)
                frames = np.stack([cv2.resize(frame, (64, 48)) for frame in cells])
                file = folder / f"UCF-101/{name}/v_{part}_{number}.avi"
                write_clip(file, frames, codec="mpeg4")
    return folder
