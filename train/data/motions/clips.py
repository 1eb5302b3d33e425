"""Clips of the embedded dataset (`train.data.motions`): what is drawn, and which way it goes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from infer.system.errors import ClipDuetError, listed

CLASSES = (
    "moves_right",
    "moves_left",
    "moves_down",
    "moves_up",
    "grows",
    "shrinks",
    "turns_clockwise",
    "turns_counterclockwise",
)
SPLITS = ("train", "val", "test")
FORMAT = 4
"""Raised when the same settings would draw other pixels, so that stale clips are made anew."""


@dataclass(frozen=True)
class MotionSpec:
    """What the clips look like and how hard they are.

    Attributes:
        train: clips of that split, classes in turn.
        val: the same.
        test: the same.
        size: height and width in pixels.
        frames: frames a clip.
        fps: frames a second in the file.
        way: largest distance in pixels from the middle to either end of a move.
        growth: largest factor between the natural size and either end of a change of size.
        turn: largest angle in degrees from the middle to either end of a turn.
        weakest: least strength of a motion, as a share of the largest.
        calmest: least range of the other three in training clips, as a share of their full one, so
            that some are easy and a network finds its feet; in val and test it is always full.
        shake: standard deviation in pixels of the camera's steps from frame to frame.
        noise: standard deviation in grey levels of each pixel's noise.
        background: contrast of the background's texture, 0 (plain) to 1.
        label_noise: share of training clips whose label in the list is another, random one.
        seed: of everything.
    """

    train: int = 1600
    val: int = 480
    test: int = 2000
    size: int = 56
    frames: int = 16
    fps: int = 8
    way: float = 20.0
    growth: float = 2.2
    turn: float = 150.0
    weakest: float = 0.7
    calmest: float = 0.0
    shake: float = 0.2
    noise: float = 3.0
    background: float = 0.12
    label_noise: float = 0.1
    seed: int = 0


def check_spec(spec: MotionSpec) -> None:
    """Refuse settings that no clip can be drawn with.

    Raises:
        ClipDuetError: all of them, with their values and what is allowed.
    """
    low = {"train": 0, "val": 0, "test": 0, "size": 16, "frames": 8, "fps": 1, "seed": 0}
    problems = [
        f"{name} is {getattr(spec, name)}, allowed: {least} or more"
        for name, least in low.items()
        if getattr(spec, name) < least
    ]
    if spec.frames % 2:
        problems.append(f"frames is {spec.frames}, allowed: even numbers (half are evaluated on)")
    if spec.size % 2:
        problems.append(f"size is {spec.size}, allowed: even numbers (H.264 halves the colours)")
    problems += [
        f"{name} is {getattr(spec, name)}, allowed: 0 to 1"
        for name in ("weakest", "calmest", "background", "label_noise")
        if not 0 <= getattr(spec, name) <= 1
    ]
    problems += [
        f"{name} is {getattr(spec, name)}, allowed: 0 or more, finite"
        for name in ("way", "turn", "shake", "noise")
        if not 0 <= getattr(spec, name) < math.inf
    ]
    if not 1 <= spec.growth < math.inf:
        problems.append(f"growth is {spec.growth}, allowed: 1 or more, finite")
    if problems:
        raise ClipDuetError(listed("these clips cannot be drawn", problems))


def draw_clip(spec: MotionSpec, split: str, index: int) -> tuple[np.ndarray, int]:
    """Draw one clip.

    Returns:
        uint8 `[frames, size, size, 3]` RGB, and the index of its class in `CLASSES`.
    """
    rng = np.random.default_rng([spec.seed, SPLITS.index(split), index])
    label = index % len(CLASSES)
    # Drawn for all four alike: in a test, how far something goes must not tell that it is the one.
    strength = rng.uniform(spec.weakest, 1.0, 4)
    if split == "train":
        # Squared: easy clips are what a network needs before it can learn from the others.
        calm = spec.calmest + (1 - spec.calmest) * rng.uniform(0, 1, 4) ** 2
        calm[label // 2] = 1.0
        strength *= calm
    x, y, growth, turn = strength[:, None] * ways(rng, frames=spec.frames, label=label)
    camera = np.cumsum(rng.normal(0, spec.shake, (spec.frames, 2)), axis=0)
    camera -= camera.mean(axis=0)
    middle = spec.size * rng.uniform(0.38, 0.62, 2)
    natural_angle, natural_zoom = rng.uniform(0, 360), rng.uniform(0.85, 1.15)

    texture = _texture(rng, 2 * spec.size, cells=int(rng.integers(4, 12)))
    background = MEAN_GREY + spec.background * (texture - texture.mean())
    patch, mask = _object(rng, spec.size)
    frames = np.empty((spec.frames, spec.size, spec.size, 3), np.uint8)
    for t in range(spec.frames):
        at = middle + camera[t] + spec.way * np.array([x[t], y[t]])
        zoom = natural_zoom * spec.growth ** growth[t]
        angle = natural_angle - spec.turn * turn[t]  # OpenCV counts counter-clockwise
        frame = _place(background, spec.size / 2 + camera[t], 1.0, 0.0, spec.size)
        alpha = _place(mask, at, zoom, angle, spec.size)[..., None]
        frame = frame * (1 - alpha) + _place(patch, at, zoom, angle, spec.size) * alpha
        frame += rng.normal(0, spec.noise, frame.shape)
        frames[t] = np.clip(np.rint(frame), 0, 255)
    return frames, label


MEAN_GREY = 90


def ways(rng: np.random.Generator, *, frames: int, label: int) -> np.ndarray:
    """How place (x, y), size and angle change in a clip of class `label`.

    What moves takes all values in turn and goes on from the last to the first. The others go to and
    fro once, by pairs of neighbours: up over every second pair, down over those between, in a pair
    always in the same order. So every second of their values is every second of all, as it is of
    what moves. All four start at random. Of fewer than eight frames, going to and fro would be
    going one way.

    Returns:
        float64 `[4, frames]`, in each row the middles of `frames` equal parts of -1..1.
    """
    moving, backwards = divmod(label, 2)
    values = (np.arange(frames) * 2 + 1) / frames - 1
    pairs = [values[at : at + 2] for at in range(0, frames, 2)]
    there_and_back = np.concatenate([*pairs[::2], *pairs[1::2][::-1]])
    starts, directions = rng.integers(frames, size=4), rng.choice([1, -1], size=4)
    directions[moving] = -1 if backwards else 1
    rows = [
        np.roll(values if k == moving else there_and_back, start)[:: directions[k]]
        for k, start in enumerate(starts)
    ]
    return np.stack(rows)


def _object(rng: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray]:
    """A textured patch and its soft mask: float32 `[p, p, 3]` and `[p, p]` in 0..1.

    The outline is a random closed curve that has no symmetry, so that turning it shows.
    """
    side = 2 * (size // 3)
    corners = int(rng.integers(3, 8))
    angle = (np.arange(corners) + np.sort(rng.uniform(0, 0.6, corners))) / corners * 2 * np.pi
    radius = rng.uniform(0.45, 1.0, corners) * side * 0.36
    points = side / 2 + radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    mask = np.zeros((side, side), np.float32)
    cv2.fillPoly(mask, [np.rint(points * 16).astype(np.int32)], 1.0, cv2.LINE_8, 4)
    texture = _texture(rng, side, cells=int(rng.integers(3, 7)))
    return texture, cv2.GaussianBlur(mask, (3, 3), 0)


def _place(image: np.ndarray, at: np.ndarray, zoom: float, angle: float, size: int) -> np.ndarray:
    """Draw `image` with its centre at `at` (x, y), scaled and turned, on a black square."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, zoom)
    matrix[:, 2] += at - np.array([width / 2, height / 2])
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)


def _texture(rng: np.random.Generator, size: int, *, cells: int) -> np.ndarray:
    """Smooth colour noise, float32 `[size, size, 3]` in 0..255."""
    grid = rng.uniform(0, 255, (cells, cells, 3)).astype(np.float32)
    return np.clip(cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC), 0, 255)


def listed_label(spec: MotionSpec, split: str, index: int, label: int) -> int:
    """The label that the list gives to a clip: now and then a wrong one, in training only."""
    if split != "train" or spec.label_noise == 0:
        return label
    rng = np.random.default_rng([spec.seed, len(SPLITS), index])
    if rng.random() >= spec.label_noise:
        return label
    return int((label + rng.integers(1, len(CLASSES))) % len(CLASSES))
