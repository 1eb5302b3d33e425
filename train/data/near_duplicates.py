"""Clips that look the same although their files differ: copies encoded, scaled or cut anew.

Five frames of a clip, at equal distances, become difference hashes: 64 bits each, whether a pixel
of the frame at 9 x 8 grey pixels is brighter than its right neighbour. The distance of two clips is
the share of bits that differ. Clips of one fixed camera are near each other as well: what is found
is to be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from infer.clips.decode import VideoInfo
from infer.clips.preprocess import load_clips, reason_of
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from train.data.dataset import ClipDataset
from train.data.lists import Sample

FRAMES, SIDE = 5, 64
THRESHOLD = 0.08
"""Share of bits that may differ. A clip that is encoded anew differs in about 0.00 to 0.05."""
BLOCK = 256  # clips compared at a time

Bits = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class NearDuplicate:
    """Two clips by their places, and the share of bits that differ."""

    first: int
    second: int
    distance: float


SPEC = ClipSpec(
    SamplingSpec(num_seg=FRAMES, select_left=True),
    # The whole picture, whatever its shape.
    PreprocessSpec(short_size=SIDE, fixed_ratio=False, keep_ratio=False, crop=SIDE),
)


def hash_video(path: Path) -> tuple[Bits, VideoInfo]:
    """The hash of a video file, bool [320], and what is known about the file, damage anywhere.

    Raises:
        VideoError: it cannot be read.
    """
    clips, info = load_clips(path, SPEC, every_frame=True)
    return _clip_hash(clips[0]), info


def hash_clips(samples: Sequence[Sample], *, suffix: str = "") -> tuple[Bits, Bits]:
    """Hashes, bool [clips, 320], and whether each clip could be read, bool [clips]."""
    clips = ClipDataset(samples, SPEC, train=False, suffix=suffix)
    bits = np.zeros((len(samples), FRAMES * 64), np.bool_)
    read = np.zeros(len(samples), np.bool_)
    for place in range(len(samples)):
        try:
            frames = clips.load(place)
        except Exception as error:
            if reason_of(error) is None:
                raise
            continue  # a clip that cannot be read is named where it is trained or tested
        bits[place] = _clip_hash(frames)
        read[place] = True
    return bits, read


def near_duplicates(
    bits: Bits, read: Bits, *, threshold: float = THRESHOLD, apart: Sequence[int] | None = None
) -> list[NearDuplicate]:
    """Pairs of clips within the threshold, the nearest first.

    Args:
        bits: of `hash_clips`.
        read: of `hash_clips`.
        threshold: share of bits that may differ.
        apart: the part of each clip; only pairs of different parts are looked for.
    """
    values = bits.astype(np.float32)
    parts = np.arange(len(bits)) if apart is None else np.asarray(apart)
    found = []
    for start in range(0, len(bits), BLOCK):
        own = values[start : start + BLOCK]
        differing = own @ (1 - values).T + (1 - own) @ values.T
        near = differing <= threshold * bits.shape[1]
        near &= read[start : start + BLOCK, None] & read[None, :]
        near &= parts[start : start + BLOCK, None] != parts[None, :]
        for row, column in np.argwhere(near):
            first, second = int(start + row), int(column)
            if first < second:
                distance = float(differing[row, column]) / bits.shape[1]
                found.append(NearDuplicate(first, second, distance))
    return sorted(found, key=lambda one: (one.distance, one.first, one.second))


def joined_groups(groups: Sequence[str], pairs: Sequence[NearDuplicate]) -> list[str]:
    """Groups by clip, where those of near-duplicates have become one, called by its first name."""
    parent = {name: name for name in groups}

    def first(name: str) -> str:
        while parent[name] != name:
            name = parent[name]
        return name

    for one in pairs:
        low, high = sorted((first(groups[one.first]), first(groups[one.second])))
        parent[high] = low
    return [first(name) for name in groups]


def _clip_hash(frames: npt.NDArray[np.uint8]) -> Bits:
    return np.concatenate([_difference_hash(frame) for frame in frames])


def _difference_hash(frame: npt.NDArray[np.uint8]) -> Bits:
    grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
    small = cv2.resize(grey, (9, 8), interpolation=cv2.INTER_AREA).astype(np.int16)
    bits: Bits = (small[:, 1:] > small[:, :-1]).ravel()
    return bits
