"""RandAugment and AutoAugment for clips: one draw a clip, the same for all of its frames."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from train.data.augment.picture_ops import EITHER_WAY, OPERATIONS, STRONGEST

HIGHEST = 10
"""RandAugment's magnitude of the strongest operation."""

LEVELS = 10
"""AutoAugment's magnitudes: 0 to 9."""


@dataclass(frozen=True)
class RandAugment:
    """`num_layers` operations drawn from all, at one magnitude (Cubuk et al. 2020).

    Names and largest strengths are PaddleClas's. `magnitude` goes from 0 to 10, and every operation
    grows with it; PaddleClas's posterise and solarise shrink. `prob` is the share of clips that
    are augmented at all.
    """

    num_layers: int = 2
    magnitude: float = 5
    prob: float = 1.0

    def __call__(
        self, frames: np.ndarray, label: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """Change frames uint8 [T, H, W, 3], all in the same way; shape and label stay."""
        if _left_out(self.prob, rng):
            return frames, label
        names = list(OPERATIONS)
        for index in rng.integers(len(names), size=self.num_layers):
            frames = _apply(names[index], self.magnitude / HIGHEST, frames, rng)
        return frames, label


@dataclass(frozen=True)
class AutoAugment:
    """One of the 25 pairs of operations that were found for ImageNet (Cubuk et al. 2019).

    `prob` is the share of clips that are augmented at all.
    """

    prob: float = 1.0

    def __call__(
        self, frames: np.ndarray, label: int, rng: np.random.Generator
    ) -> tuple[np.ndarray, int]:
        """Change frames uint8 [T, H, W, 3], all in the same way; shape and label stay."""
        if _left_out(self.prob, rng):
            return frames, label
        for name, probability, magnitude in IMAGENET[int(rng.integers(len(IMAGENET)))]:
            if rng.random() < probability:
                frames = _apply(name, magnitude / (LEVELS - 1), frames, rng)
        return frames, label


def _left_out(prob: float, rng: np.random.Generator) -> bool:
    """Whether a clip stays as it is; without a draw where none does."""
    return prob < 1 and rng.random() >= prob


def _apply(name: str, share: float, frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    strength = STRONGEST[name] * share
    if name in EITHER_WAY and rng.random() < 0.5:
        strength = -strength
    return OPERATIONS[name](frames, strength)


# (operation, probability, magnitude) twice a line: table 9 of the paper's appendix.
IMAGENET = (
    (("posterize", 0.4, 8), ("rotate", 0.6, 9)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
    (("posterize", 0.6, 7), ("posterize", 0.6, 6)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("equalize", 0.4, 4), ("rotate", 0.8, 8)),
    (("solarize", 0.6, 3), ("equalize", 0.6, 7)),
    (("posterize", 0.8, 5), ("equalize", 1.0, 2)),
    (("rotate", 0.2, 3), ("solarize", 0.6, 8)),
    (("equalize", 0.6, 8), ("posterize", 0.4, 6)),
    (("rotate", 0.8, 8), ("color", 0.4, 0)),
    (("rotate", 0.4, 9), ("equalize", 0.6, 2)),
    (("equalize", 0.0, 7), ("equalize", 0.8, 8)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("rotate", 0.8, 8), ("color", 1.0, 2)),
    (("color", 0.8, 8), ("solarize", 0.8, 7)),
    (("sharpness", 0.4, 7), ("invert", 0.6, 8)),
    (("shearX", 0.6, 5), ("equalize", 1.0, 9)),
    (("color", 0.4, 0), ("equalize", 0.6, 3)),
    (("equalize", 0.4, 7), ("solarize", 0.2, 4)),
    (("solarize", 0.6, 5), ("autocontrast", 0.6, 5)),
    (("invert", 0.6, 4), ("equalize", 1.0, 8)),
    (("color", 0.6, 4), ("contrast", 1.0, 8)),
    (("equalize", 0.8, 8), ("equalize", 0.6, 3)),
)
