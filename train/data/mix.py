"""Mix the clips of a batch with each other: Mixup, Cutmix, and VideoMix, which draws one of both.

Pixels are mixed before normalisation. Normalisation is affine and the weights sum to one, so the
network sees what it would see if normalised clips were mixed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np


class Mixed(NamedTuple):
    """clips float32 [N, T, H, W, 3]; labels_a and labels_b int64 [N]; lam float32 [N].

    `lam` is the share of label a in each clip, 1 - lam that of label b.
    """

    clips: np.ndarray
    labels_a: np.ndarray
    labels_b: np.ndarray
    lam: np.ndarray


Mix = Callable[[np.ndarray, np.ndarray, np.random.Generator], Mixed]


@dataclass(frozen=True)
class Mixup:
    """Blend every clip with another one of the batch (Zhang et al. 2018).

    One weight from Beta(alpha, alpha) and one permutation a batch.
    """

    alpha: float = 0.2

    def __call__(self, clips: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Mixed:
        """Mix clips uint8 or float32 [N, T, H, W, 3], labels int64 [N]; both stay unchanged."""
        clips, labels = _checked(clips, labels)
        other = rng.permutation(len(clips))
        lam = np.float32(rng.beta(self.alpha, self.alpha))
        own = clips.astype(np.float32)
        mixed = lam * own + (np.float32(1) - lam) * own[other]
        return Mixed(mixed, labels, labels[other], np.full(len(clips), lam, np.float32))


@dataclass(frozen=True)
class Cutmix:
    """Replace one box, the same in all frames, by that of another clip (Yun et al. 2019).

    The box covers 1 - Beta(alpha, alpha) of the frame before it is cut off at the border; `lam` is
    computed from the area that was really replaced. PaddleVideo's Cutmix takes the sizes of the
    wrong axes of a clip and so cuts channels; this one cuts rows and columns.
    """

    alpha: float = 0.2

    def __call__(self, clips: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Mixed:
        """Mix clips uint8 or float32 [N, T, H, W, 3], labels int64 [N]; both stay unchanged."""
        clips, labels = _checked(clips, labels)
        other = rng.permutation(len(clips))
        height, width = clips.shape[2:4]
        rows, columns = _box(height, width, rng.beta(self.alpha, self.alpha), rng)
        mixed = clips.astype(np.float32)
        mixed[:, :, rows, columns] = clips[other, :, rows, columns]
        area = (rows.stop - rows.start) * (columns.stop - columns.start)
        lam = 1 - area / (height * width)
        return Mixed(mixed, labels, labels[other], np.full(len(clips), lam, np.float32))


@dataclass(frozen=True)
class VideoMix:
    """Cutmix with probability `cutmix_prob`, else Mixup: one draw a batch."""

    cutmix_prob: float = 0.5
    mixup_alpha: float = 0.2
    cutmix_alpha: float = 1.0

    def __call__(self, clips: np.ndarray, labels: np.ndarray, rng: np.random.Generator) -> Mixed:
        """Mix clips uint8 or float32 [N, T, H, W, 3], labels int64 [N]; both stay unchanged."""
        if rng.random() < self.cutmix_prob:
            return Cutmix(self.cutmix_alpha)(clips, labels, rng)
        return Mixup(self.mixup_alpha)(clips, labels, rng)


MIXES: dict[str, Callable[..., Mix]] = {"Mixup": Mixup, "Cutmix": Cutmix, "VideoMix": VideoMix}


def build_mix(settings: Mapping[str, Any] | None) -> Mix | None:
    """The mix of a checked MIX block, `{"name": "Mixup", "alpha": 0.2}`; None without one."""
    if not settings:
        return None
    options = dict(settings)
    return MIXES[options.pop("name")](**options)


def _box(height: int, width: int, lam: float, rng: np.random.Generator) -> tuple[slice, slice]:
    """Rows and columns of a box of about (1 - lam) * area around a uniformly drawn pixel."""
    side = np.sqrt(1 - lam)
    box_height, box_width = int(height * side), int(width * side)
    top = int(rng.integers(height)) - box_height // 2
    left = int(rng.integers(width)) - box_width // 2
    rows = slice(max(top, 0), min(top + box_height, height))
    columns = slice(max(left, 0), min(left + box_width, width))
    return rows, columns


def _checked(clips: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels = np.asarray(labels, np.int64)
    if clips.ndim != 5 or labels.shape != clips.shape[:1]:
        raise ValueError(
            f"expected clips [N, T, H, W, 3] and labels [N], got {clips.shape} and {labels.shape}"
        )
    return clips, labels
