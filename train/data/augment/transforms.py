"""Training transforms on the frames of a clip: one draw a clip, the same for all its frames.

A transform takes uint8 frames [T, H, W, 3], their label and a random generator, and returns new
frames and the label; it never changes what it was given. Names and meaning of MultiScaleCrop,
RandomCrop, RandomFlip and CenterCrop are PaddleVideo's, where frames come as PIL images.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from infer.clips.preprocess import center_crop
from infer.clips.resize import resize_frame
from infer.system.errors import ClipDuetError
from train.data.augment.picture_ops import LUMA
from train.data.augment.policies import AutoAugment, RandAugment
from train.plugins.registry import TRANSFORMS

Transform = Callable[[np.ndarray, int, np.random.Generator], tuple[np.ndarray, int]]


class AugmentError(ClipDuetError):
    """The training transforms cannot be applied to frames of this size, or to these labels."""


@dataclass(frozen=True)
class CenterCrop:
    """Cut the middle `target_size` x `target_size` pixels; `do_round` rounds half a pixel."""

    target_size: int
    do_round: bool = True

    def __call__(
        self, frames: np.ndarray, label: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """Crop frames uint8 [T, H, W, 3]; the label stays.

        Raises:
            AugmentError: frames smaller than `target_size`.
        """
        height, width = _size_at_least("CenterCrop", frames, self.target_size)
        if not self.do_round:  # an odd rest loses its extra pixel at the end, before the crop
            frames = frames[:, : height - (height - self.target_size) % 2]
            frames = frames[:, :, : width - (width - self.target_size) % 2]
        return np.ascontiguousarray(center_crop(frames, self.target_size)), label


@dataclass(frozen=True)
class RandomCrop:
    """Cut `target_size` x `target_size` pixels at a place drawn uniformly."""

    target_size: int

    def __call__(
        self, frames: np.ndarray, label: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """Crop frames uint8 [T, H, W, 3], all at the same place; the label stays.

        Raises:
            AugmentError: frames smaller than `target_size`.
        """
        height, width = _size_at_least("RandomCrop", frames, self.target_size)
        top = int(rng.integers(height - self.target_size + 1))
        left = int(rng.integers(width - self.target_size + 1))
        rows, columns = slice(top, top + self.target_size), slice(left, left + self.target_size)
        return np.ascontiguousarray(frames[:, rows, columns]), label


@dataclass(frozen=True)
class MultiScaleCrop:
    """Scale jitter: cut a box of a drawn size at a drawn place, resize it to `target_size` squared.

    Sides are `scales` times the short side of the frame; the two sides may be at most `max_distort`
    steps apart in the list of scales. With `fix_crop` the place is one of a grid of 5 (corners and
    middle), or 13 with `more_fix_crop`; otherwise it is uniform. `allow_duplication` keeps corners
    in the draw that coincide because the box is as wide or as high as the frame (Wang et al. 2016,
    temporal segment networks). `resize` is the filter, as in `infer.clips.spec.PreprocessSpec`.
    """

    target_size: int
    scales: Sequence[float] = (1.0, 0.875, 0.75, 0.66)
    max_distort: int = 1
    fix_crop: bool = True
    allow_duplication: bool = False
    more_fix_crop: bool = True
    resize: str | None = None

    def __post_init__(self) -> None:
        if self.scales is None:  # PaddleVideo's spelling of "the usual ones"
            object.__setattr__(self, "scales", (1.0, 0.875, 0.75, 0.66))

    def __call__(
        self, frames: np.ndarray, label: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """Crop and resize frames uint8 [T, H, W, 3], all alike; the label stays."""
        height, width = frames.shape[1:3]
        sides = self._sides(min(height, width))
        pairs = [
            (tall, wide)
            for i, tall in enumerate(sides)
            for j, wide in enumerate(sides)
            if abs(i - j) <= self.max_distort
        ]
        tall, wide = pairs[int(rng.integers(len(pairs)))]
        top, left = self._place(height - tall, width - wide, rng)
        box = frames[:, top : top + tall, left : left + wide]
        size = (self.target_size, self.target_size)
        if box.shape[1:3] == size:
            return np.ascontiguousarray(box), label
        resized = [
            resize_frame(np.ascontiguousarray(frame), size, self.resize or "area") for frame in box
        ]
        return np.stack(resized), label

    def _sides(self, short: int) -> list[int]:
        """Sides of the boxes; one within 2 pixels of the target is the target, not resized."""
        sides = [max(int(short * scale), 1) for scale in self.scales]
        snaps = (abs(side - self.target_size) < 3 and self.target_size <= short for side in sides)
        return [self.target_size if snap else side for side, snap in zip(sides, snaps, strict=True)]

    def _place(
        self, spare_rows: int, spare_columns: int, rng: np.random.Generator
    ) -> tuple[int, int]:
        if not self.fix_crop:
            return int(rng.integers(spare_rows + 1)), int(rng.integers(spare_columns + 1))
        places = self._grid(spare_rows > 0, spare_columns > 0)
        row, column = places[int(rng.integers(len(places)))]
        return round(row * spare_rows / 4), round(column * spare_columns / 4)

    def _grid(self, rows_free: bool, columns_free: bool) -> list[tuple[int, int]]:
        """Places as (row, column) in quarters of the spare pixels; PaddleVideo's list."""
        places = [(0, 0)]
        if self.allow_duplication or columns_free:
            places.append((0, 4))
        if self.allow_duplication or rows_free:
            places.append((4, 0))
        if self.allow_duplication or (rows_free and columns_free):
            places.append((4, 4))
        if self.allow_duplication or rows_free or columns_free:
            places.append((2, 2))
        if self.more_fix_crop:
            places += [(2, 0), (2, 4), (4, 2), (0, 2), (1, 1), (1, 3), (3, 1), (3, 3)]
        return places


@dataclass(frozen=True)
class RandomFlip:
    """Mirror left and right with probability `p`.

    `labels` swaps the label of a mirrored clip where mirroring changes what it shows, such as
    {0: 1, 1: 0} for "moves left" and "moves right". Labels that are not in it stay.
    """

    p: float = 0.5
    labels: Mapping[int, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        # A mirrored mirror image is the clip itself, so the mapping must undo itself.
        if any(self.labels.get(other, other) != label for label, other in self.labels.items()):
            raise AugmentError(
                f"RandomFlip: labels is {dict(self.labels)}, allowed: pairs both ways; "
                "DATASET.label_flip names a class twice, by name and by number"
            )

    def __call__(
        self, frames: np.ndarray, label: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """Mirror frames uint8 [T, H, W, 3], all or none, and change the label accordingly."""
        if rng.random() >= self.p:
            return frames, label
        mirrored = cv2.flip(_as_picture(frames), 1).reshape(frames.shape)
        return mirrored, self.labels.get(label, label)


@dataclass(frozen=True)
class ColorJitter:
    """Change brightness, contrast and saturation by factors drawn from 1 - x to 1 + x.

    Brightness scales pixels, contrast scales their distance from the clip's mean grey, saturation
    that from their own grey. Values are rounded and clipped to 0..255 once, after all three.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __call__(
        self, frames: np.ndarray, label: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """Change the colours of frames uint8 [T, H, W, 3], all alike; the label stays."""
        brightness, contrast, saturation = (
            rng.uniform(max(1 - spread, 0), 1 + spread)
            for spread in (self.brightness, self.contrast, self.saturation)
        )
        if not (self.brightness or self.contrast or self.saturation):
            return frames, label
        # All three are affine in the pixel, so they are one 3 x 4 matrix.
        picture = _as_picture(frames)
        means = np.divide(cv2.sumElems(picture)[:3], frames.size // 3)
        grey = float(means @ LUMA) * brightness
        colour = saturation * np.eye(3) + (1 - saturation) * np.tile(LUMA, (3, 1))
        offset = np.full((3, 1), (1 - contrast) * grey)
        matrix = np.hstack([colour * (contrast * brightness), offset])
        return cv2.transform(picture, matrix).reshape(frames.shape).astype(np.uint8), label


@dataclass(frozen=True)
class ChannelShuffle:
    """Permute red, green and blue with probability `p`: for tasks where colour means nothing."""

    p: float = 0.5

    def __call__(
        self, frames: np.ndarray, label: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """Permute the channels of frames uint8 [T, H, W, 3], all alike; the label stays."""
        if rng.random() >= self.p:
            return frames, label
        planes = cv2.split(_as_picture(frames))
        shuffled = cv2.merge([planes[channel] for channel in rng.permutation(3)])
        return shuffled.reshape(frames.shape), label


@dataclass(frozen=True)
class RandomShift:
    """Move the picture by up to `pixels` each way; the border repeats its last pixel."""

    pixels: int

    def __call__(
        self, frames: np.ndarray, label: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """Move frames uint8 [T, H, W, 3], all alike; shape and label stay."""
        height, width = frames.shape[1:3]
        down, right = (int(step) for step in rng.integers(-self.pixels, self.pixels + 1, size=2))
        rows = np.clip(np.arange(height) - down, 0, height - 1)
        columns = np.clip(np.arange(width) - right, 0, width - 1)
        return frames[:, rows][:, :, columns], label


TRANSFORMS.update(
    {
        "AutoAugment": AutoAugment,
        "CenterCrop": CenterCrop,
        "ChannelShuffle": ChannelShuffle,
        "ColorJitter": ColorJitter,
        "MultiScaleCrop": MultiScaleCrop,
        "RandAugment": RandAugment,
        "RandomCrop": RandomCrop,
        "RandomFlip": RandomFlip,
        "RandomShift": RandomShift,
    }
)

# Steps of PaddleVideo's pipelines that happen elsewhere: scaling is part of the clip spec, which
# training shares with deployment; normalisation and layout are the first nodes of the network.
ELSEWHERE = ("Scale", "Image2Array", "Normalization")

# PaddleVideo's choice of an image library; there is one here.
IGNORED_SETTINGS = ("backend",)


def build_transforms(
    settings: Iterable[Mapping[str, Mapping[str, Any] | None]],
) -> tuple[Transform, ...]:
    """The transforms of a checked PIPELINE.train.transform list.

    `[{"RandomCrop": {"target_size": 224}}]`; `train.config.schema.data` says what may stand
    there.

    Raises:
        AugmentError: labels that a flip swaps one way only, or a name that no plugin registered.
    """
    settings = list(settings)
    for name in {name for entry in settings for name in entry} - {*TRANSFORMS, *ELSEWHERE}:
        raise AugmentError(f"{name} is of a plugin that is not loaded; name it: --plugins")
    return tuple(
        TRANSFORMS[name](**{k: v for k, v in (own or {}).items() if k not in IGNORED_SETTINGS})
        for entry in settings
        for name, own in entry.items()
        if name not in ELSEWHERE
    )


def apply_transforms(
    transforms: Sequence[Transform], frames: np.ndarray, label: int, rng: np.random.Generator
) -> tuple[np.ndarray, int]:
    """Apply all transforms, in order, to frames uint8 [T, H, W, 3] and their label."""
    for transform in transforms:
        frames, label = transform(frames, label, rng)
    return frames, label


def _as_picture(frames: np.ndarray) -> np.ndarray:
    """Frames uint8 [T, H, W, 3] as one picture [T * H, W, 3], which OpenCV takes at once."""
    return np.ascontiguousarray(frames).reshape(-1, frames.shape[2], 3)


def _size_at_least(name: str, frames: np.ndarray, size: int) -> tuple[int, int]:
    height, width = frames.shape[1:3]
    if min(height, width) < size:
        raise AugmentError(
            f"{name}: frames of {width} x {height} pixels are smaller than target_size {size}; "
            "lower target_size, or raise the size of the step before"
        )
    return height, width
