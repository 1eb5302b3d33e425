"""Clips of the embedded dataset (`train.data.motions`): what is drawn, and which way it goes."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

from infer.system.errors import ClipDuetError, listed

CLASSES = (
    "moves_right",
    "moves_down_right",
    "moves_down",
    "moves_down_left",
    "moves_left",
    "moves_up_left",
    "moves_up",
    "moves_up_right",
)
"""Headings, each an eighth of a turn further clockwise."""
PLACES = len(CLASSES)
"""Of the object, on a ring: as many, so that every heading sees the same ring."""
SPLITS = ("train", "val", "test")
FORMAT = 5
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
        way: largest radius in pixels of the ring of places.
        growth: largest factor between the natural size and either end of a change of size.
        turn: largest angle in degrees from the middle to either end of a turn.
        weakest: least strength of each change, as a share of the largest.
        calmest: least range, as a share of the full one, of what does not tell the label in
            training clips: the place across the heading, size and angle. So some are easy and a
            network finds its feet; in val and test the range is always full.
        shake: standard deviation in pixels of each picture's camera position.
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
    way: float = 12.0
    growth: float = 2.2
    turn: float = 150.0
    weakest: float = 0.7
    calmest: float = 0.0
    shake: float = 0.3
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
    if spec.frames % PLACES:
        problems.append(
            f"frames is {spec.frames}, allowed: multiples of {PLACES}, the number of places"
        )
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
    """Draw one clip: its pictures, and then the order in which they are shown.

    Returns:
        uint8 `[frames, size, size, 3]` RGB, and the index of its class in `CLASSES`.
    """
    label = index % len(CLASSES)
    seed = [spec.seed, SPLITS.index(split), index]
    easier = label if split == "train" else None
    pictures = draw_pictures(spec, np.random.default_rng(seed), easier=easier)
    shown = draw_order(np.random.default_rng([*seed, 1]), label)
    return np.concatenate(pictures[shown]), label


def draw_pictures(
    spec: MotionSpec, rng: np.random.Generator, *, easier: int | None = None
) -> np.ndarray:
    """Draw the pictures of a clip: the object at each of the eight places of a ring.

    The k-th place lies k + 1/2 eighths of a turn clockwise from the right. Size and angle swing
    once to and fro along the ring, each from a random place of it. The pictures of one place differ
    by noise and by the camera's position.

    Args:
        spec: settings.
        rng: of everything that is drawn.
        easier: a class; what does not tell it apart changes less. With None nothing that is drawn
            depends on the label.

    Returns:
        uint8 `[8, frames / 8, size, size, 3]` RGB.
    """
    places = (np.arange(PLACES) + 0.5) * 2 * np.pi / PLACES
    radius, growth, turn = rng.uniform(spec.weakest, 1.0, 3)
    starts = rng.uniform(0, 2 * np.pi, 2)
    ring = np.stack([np.cos(places), np.sin(places)], axis=1)
    # Easy clips are what a network needs before it can learn from the others.
    calm = spec.calmest + (1 - spec.calmest) * np.maximum(rng.uniform(-1, 1, 3), 0)
    if easier is not None:
        heading = easier * 2 * np.pi / len(CLASSES)
        along = np.array([np.cos(heading), np.sin(heading)])
        onto = np.outer(along, along)
        ring = ring @ (onto + calm[0] * (np.eye(2) - onto))
        growth, turn = growth * calm[1], turn * calm[2]
    middle = spec.size * rng.uniform(0.38, 0.62, 2)
    centres = middle + spec.way * radius * ring
    zooms = rng.uniform(0.85, 1.15) * spec.growth ** (growth * _swing(places - starts[0]))
    angles = rng.uniform(0, 360) + spec.turn * turn * _swing(places - starts[1])

    texture = _texture(rng, 2 * spec.size, cells=int(rng.integers(4, 12)))
    background = MEAN_GREY + spec.background * (texture - texture.mean())
    patch, mask = _object(rng, spec.size)
    pictures = np.empty((PLACES, spec.frames // PLACES, spec.size, spec.size, 3), np.uint8)
    for k, copy in np.ndindex(pictures.shape[:2]):
        camera = rng.normal(0, spec.shake, 2)
        at, zoom, angle = centres[k] + camera, float(zooms[k]), float(angles[k])
        picture = _place(background, spec.size / 2 + camera, 1.0, 0.0, spec.size)
        alpha = _place(mask, at, zoom, angle, spec.size)[..., None]
        picture = picture * (1 - alpha) + _place(patch, at, zoom, angle, spec.size) * alpha
        picture += rng.normal(0, spec.noise, picture.shape)
        pictures[k, copy] = np.clip(np.rint(picture), 0, 255)
    return pictures


MEAN_GREY = 90


def _swing(angle: np.ndarray) -> np.ndarray:
    """To and fro once a turn, at a steady speed: -1 at 0, 1 at half a turn."""
    return np.abs((angle / np.pi) % 2 - 1) * -2 + 1


def draw_order(rng: np.random.Generator, label: int) -> np.ndarray:
    """Draw the order in which a clip of class `label` shows the places of its ring."""
    return order(label, start=int(rng.integers(PLACES)))


def order(label: int, *, start: int) -> np.ndarray:
    """Places of the ring in the order in which a clip of class `label` shows them.

    The object goes from the rear of the ring, as seen along its heading, over its right side to the
    front; it jumps back, and goes over the left side to the front; and so on, beginning anywhere.

    Args:
        label: index of the class in `CLASSES`.
        start: from 0 to 7: where in this round the clip begins.

    Returns:
        int64 `[8]`: each of 0..7 once.
    """
    # Counted clockwise from the heading: the right side from front to rear, then the left one.
    right, left = np.arange(PLACES // 2)[::-1], np.arange(PLACES // 2, PLACES)
    return np.roll(label + np.concatenate([right, left]), start) % PLACES


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
