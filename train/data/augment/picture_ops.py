"""The operations of AutoAugment and RandAugment on all frames of a clip at once.

Names and strengths are those of the papers (Cubuk et al., 2019 and 2020) as PaddleClas has them.
What an operation learns from the pixels, such as a histogram, it learns from the whole clip:
frames that are treated differently would flicker, and flicker is motion.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np

Operation = Callable[[np.ndarray, float], np.ndarray]
"""From uint8 `[T, H, W, 3]` and a strength to the same of the same shape."""

FILL = (128, 128, 128)
"""Grey for what moves into the picture."""

LUMA = np.array([0.299, 0.587, 0.114])
"""Luma weights of ITU-R BT.601, those of PIL's and OpenCV's conversion to grey."""


def _affine(frames: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Each output pixel comes from `matrix @ (x, y, 1)`, counted from the middle."""
    height, width = frames.shape[1:3]
    middle = np.array([[1, 0, (width - 1) / 2], [0, 1, (height - 1) / 2], [0, 0, 1]])
    whole = (middle @ np.vstack([matrix, [0, 0, 1]]) @ np.linalg.inv(middle))[:2]
    out = np.empty_like(frames)
    for frame, target in zip(frames, out, strict=True):
        target[...] = cv2.warpAffine(
            frame,
            whole,
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderValue=FILL,
        )
    return out


def shear_x(frames: np.ndarray, strength: float) -> np.ndarray:
    """Rows slide by `strength` times their distance from the middle."""
    return _affine(frames, np.array([[1, strength, 0], [0, 1, 0]]))


def shear_y(frames: np.ndarray, strength: float) -> np.ndarray:
    """Columns slide by `strength` times their distance from the middle."""
    return _affine(frames, np.array([[1, 0, 0], [strength, 1, 0]]))


def translate_x(frames: np.ndarray, strength: float) -> np.ndarray:
    """Move by a share of the width."""
    return _affine(frames, np.array([[1, 0, strength * frames.shape[2]], [0, 1, 0]]))


def translate_y(frames: np.ndarray, strength: float) -> np.ndarray:
    """Move by a share of the height."""
    return _affine(frames, np.array([[1, 0, 0], [0, 1, strength * frames.shape[1]]]))


def rotate(frames: np.ndarray, strength: float) -> np.ndarray:
    """Turn by degrees."""
    cos, sin = np.cos(np.deg2rad(strength)), np.sin(np.deg2rad(strength))
    return _affine(frames, np.array([[cos, sin, 0], [-sin, cos, 0]]))


def _blend(frames: np.ndarray, other: np.ndarray | float, strength: float) -> np.ndarray:
    """Away from `other` for a strength above 0, towards it below; rounded and clipped once."""
    mixed = other + (1 + strength) * (frames.astype(np.float32) - other)
    return np.clip(np.rint(mixed), 0, 255).astype(np.uint8)


def color(frames: np.ndarray, strength: float) -> np.ndarray:
    """More or less colour than grey."""
    return _blend(frames, (frames @ LUMA)[..., None].astype(np.float32), strength)


def contrast(frames: np.ndarray, strength: float) -> np.ndarray:
    """More or less far from the clip's mean grey."""
    return _blend(frames, float(frames.reshape(-1, 3).mean(axis=0) @ LUMA), strength)


def brightness(frames: np.ndarray, strength: float) -> np.ndarray:
    """More or less far from black."""
    return _blend(frames, 0.0, strength)


def sharpness(frames: np.ndarray, strength: float) -> np.ndarray:
    """More or less far from a smoothed picture; the border stays."""
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32) / 13
    smooth = frames.astype(np.float32)
    for frame, target in zip(frames, smooth, strict=True):
        target[1:-1, 1:-1] = cv2.filter2D(frame.astype(np.float32), -1, kernel)[1:-1, 1:-1]
    return _blend(frames, smooth, strength)


def posterize(frames: np.ndarray, strength: float) -> np.ndarray:
    """Keep the highest `8 - strength` bits."""
    bits = int(np.clip(round(8 - strength), 1, 8))
    return frames & np.uint8(0xFF << (8 - bits) & 0xFF)


def solarize(frames: np.ndarray, strength: float) -> np.ndarray:
    """Invert what is above `256 - strength`."""
    return np.where(frames >= 256 - strength, 255 - frames, frames)


def invert(frames: np.ndarray, strength: float) -> np.ndarray:
    """Invert everything."""
    return 255 - frames


def autocontrast(frames: np.ndarray, strength: float) -> np.ndarray:
    """Stretch each colour from the clip's darkest to its brightest value."""
    low = frames.min(axis=(0, 1, 2)).astype(np.float32)
    span = frames.max(axis=(0, 1, 2)).astype(np.float32) - low
    stretched = (frames - low) * (255 / np.maximum(span, 1))
    return np.where(span > 0, np.rint(stretched), frames).astype(np.uint8)


def equalize(frames: np.ndarray, strength: float) -> np.ndarray:
    """Spread each colour's values of the clip evenly."""
    out = np.empty_like(frames)
    for channel in range(3):
        counts = np.bincount(frames[..., channel].ravel(), minlength=256)
        below = np.concatenate([[0], np.cumsum(counts)[:-1]])
        # The last value that occurs has nothing above it to spread to.
        step = (counts.sum() - counts[np.flatnonzero(counts)[-1]]) / 255
        table = np.arange(256) if step == 0 else np.clip(below / step, 0, 255)
        out[..., channel] = np.rint(table).astype(np.uint8)[frames[..., channel]]
    return out


OPERATIONS: dict[str, Operation] = {
    "shearX": shear_x,
    "shearY": shear_y,
    "translateX": translate_x,
    "translateY": translate_y,
    "rotate": rotate,
    "color": color,
    "posterize": posterize,
    "solarize": solarize,
    "contrast": contrast,
    "sharpness": sharpness,
    "brightness": brightness,
    "autocontrast": autocontrast,
    "equalize": equalize,
    "invert": invert,
}
"""By PaddleClas's names."""

STRONGEST = {
    "shearX": 0.3,
    "shearY": 0.3,
    "translateX": 150 / 331,
    "translateY": 150 / 331,
    "rotate": 30.0,
    "color": 0.9,
    "posterize": 4.0,
    "solarize": 256.0,
    "contrast": 0.9,
    "sharpness": 0.9,
    "brightness": 0.9,
    "autocontrast": 0.0,
    "equalize": 0.0,
    "invert": 0.0,
}
"""The most that a policy asks for."""

EITHER_WAY = {
    "shearX",
    "shearY",
    "translateX",
    "translateY",
    "rotate",
    "color",
    "contrast",
    "sharpness",
    "brightness",
}
"""Operations whose strength gets a random sign."""
