"""What the clips of a folder are: length, size, rate, and which cannot be read."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from infer.clips.preprocess import reason_of
from infer.system.terminal import can_redraw
from train.data.class_folders import Clip
from train.data.near_duplicates import Bits, hash_video
from train.data.unreadable import Failed


@dataclass(frozen=True)
class Look:
    """A clip that can be read.

    Attributes:
        clip: its path, class and scene.
        frames: frames that decode.
        fps: frames a second; None where the file does not say.
        width: pixels after rotation.
        height: pixels after rotation.
        damaged: whether parts of it do not decode.
    """

    clip: Clip
    frames: int
    fps: float | None
    width: int
    height: int
    damaged: bool

    @property
    def seconds(self) -> float | None:
        """Its length; None where the file has no rate."""
        return self.frames / self.fps if self.fps else None


@dataclass(frozen=True)
class Looks:
    """The clips of a folder: those that can be read, their hashes bool [clips, bits], the rest."""

    readable: list[Look]
    bits: Bits
    failed: list[Failed]


def look_at(root: Path, clips: Sequence[Clip], *, workers: int) -> Looks:
    """Decode every clip once."""

    def look(clip: Clip) -> tuple[Look, Bits] | str:
        try:
            bits, info = hash_video(root / clip.path)
        except Exception as error:
            reason = reason_of(error)
            if reason is None:
                raise
            return reason
        rate = info.fps if info.fps and info.fps > 0 else None
        return Look(clip, info.frames, rate, info.width, info.height, info.damaged), bits

    with ThreadPoolExecutor(workers) as pool:
        results = tqdm(
            pool.map(look, clips),
            total=len(clips),
            desc="clips",
            unit="clip",
            disable=not can_redraw(sys.stderr),
        )
        found = list(zip(clips, results, strict=True))
    good = [result for _, result in found if not isinstance(result, str)]
    return Looks(
        [look for look, _ in good],
        np.stack([bits for _, bits in good]) if good else np.zeros((0, 0), np.bool_),
        [(clip.path, result) for clip, result in found if isinstance(result, str)],
    )
