"""How long training clips are: what a window of a long video should be, unless it is said."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infer.clips.array_file import is_array_file
from infer.containers.announced import open_unprobed
from infer.containers.limits import LIMITS
from infer.system.errors import VideoError
from infer.system.log import logger
from train.config.load import Config
from train.data.lists import ListError, Sample
from train.data.splits import build_dataset

log = logger(__name__)

MOST = 256
"""Clips that are looked at."""


@dataclass(frozen=True)
class ClipLength:
    """How long clips are, by what their headers say.

    Attributes:
        median: seconds.
        clips: how many say it.
        list_file: where they were listed.
    """

    median: float
    clips: int
    list_file: str

    def to_dict(self) -> dict[str, Any]:
        """What `bundle.json` says of it."""
        return {"median_seconds": self.median, "clips": self.clips, "list": self.list_file}


def clip_length(cfg: Config, *, most: int = MOST) -> ClipLength | None:
    """The median length of training clips: of some, the same ones for the same seed of the config.

    Nothing is decoded. Clips whose headers do not say their length are left out, and so are folders
    of frames and arrays, which have no time.

    Args:
        cfg: the config.
        most: clips that are looked at.

    Returns:
        None where none says its length, or the list cannot be used.
    """
    files = cfg.lists["train"]
    if files is None or files.format != "VideoDataset":
        return None
    try:
        samples = build_dataset(cfg, "train", cache=False).samples
    except ListError as error:
        first = str(error).splitlines()[0]
        log.info(f"note: the length of training clips is not recorded: {first}")
        return None
    chosen = np.random.default_rng(cfg.seed).permutation(len(samples))[:most]
    lengths = [found for index in chosen.tolist() if (found := _seconds(samples[index]))]
    if not lengths:
        return None
    # Microseconds: what containers tell apart.
    return ClipLength(round(float(np.median(lengths)), 6), len(lengths), str(files.list_file))


def _seconds(sample: Sample) -> float | None:
    return None if is_array_file(sample.path) else header_seconds(sample.path)


def header_seconds(path: Path) -> float | None:
    """Seconds of a video file as its header says; None where it does not, or cannot be read."""
    try:
        container, stream = open_unprobed(path, LIMITS)
    except (VideoError, OSError):
        return None
    with container:
        if stream.duration and stream.time_base:
            found = float(stream.duration * stream.time_base)
        else:
            found = (container.duration or 0) / 1e6
    return found if found > 0 else None
