"""What another camera does to a clip: perturbations of all its frames as they were decoded.

They come before sampling and scaling, as those of a real camera do. Each draws from a generator
of its own, seeded by the clip's path and the perturbation: every model, deployment and run sees the
same pixels.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

from benchmarks.perturb.h264 import recompressed
from infer.clips.decode import Frames

CLEAN = "clean"
"""The name of the clips as they are."""
ALL = "all"
"""What a command line says instead of every name."""

Numbers = npt.NDArray[np.int64]

RATE_FACTORS = (28, 36, 44)
DROPPED = 0.3  # share of the frames
DARKER = 0.5  # of a pixel's value
READ_NOISE = 6.0  # grey levels
SHOT_NOISE = 1.0  # variance in squared grey levels, for each grey level of the pixel


@dataclass(frozen=True)
class Perturbation:
    """A change of all frames of a clip.

    Attributes:
        title: name for people.
        about: what it does, with its numbers.
        change: uint8 [n, H, W, 3] RGB, the clip's frames per second and a generator to uint8
            [n, H, W, 3]; None: pixels stay.
        keep: the number of frames and a generator to the numbers of those that are left, int64
            [m], ascending, at least one; None: all.
    """

    title: str
    about: str
    change: Callable[[Frames, float, np.random.Generator], Frames] | None = None
    keep: Callable[[int, np.random.Generator], Numbers] | None = None

    def apply(self, frames: Frames, fps: float, rng: np.random.Generator) -> tuple[Frames, Numbers]:
        """The frames that are left, uint8 [m, H, W, 3], and their numbers, int64 [m]."""
        if self.keep is None:
            left, kept = frames, np.arange(len(frames))
        else:
            kept = self.keep(len(frames), rng)
            left = frames[kept]
        return left if self.change is None else self.change(left, fps, rng), kept


def _h264(frames: Frames, fps: float, rng: np.random.Generator, *, crf: int) -> Frames:
    return recompressed(frames, crf=crf, fps=fps)


def _every(count: int, rng: np.random.Generator, *, step: int) -> Numbers:
    return np.arange(0, count, step)


def _not_dropped(count: int, rng: np.random.Generator) -> Numbers:
    """Never none: of a clip of one frame that one stays."""
    left = count - min(round(DROPPED * count), count - 1)
    return np.sort(rng.choice(count, left, replace=False))


def _half_resolution(frames: Frames, fps: float, rng: np.random.Generator) -> Frames:
    height, width = frames.shape[1:3]
    small = (-(-width // 2), -(-height // 2))
    out = np.empty_like(frames)
    for before, after in zip(frames, out, strict=True):
        shrunk = cv2.resize(before, small, interpolation=cv2.INTER_AREA)
        after[:] = cv2.resize(shrunk, (width, height), interpolation=cv2.INTER_LINEAR)
    return out


def _darker(frames: Frames, fps: float, rng: np.random.Generator) -> Frames:
    table = np.rint(DARKER * np.arange(256)).astype(np.uint8)
    darkened: Frames = table[frames]
    return darkened


def _noise(frames: Frames, fps: float, rng: np.random.Generator) -> Frames:
    """Heteroscedastic Gaussian noise, the usual model of a sensor (Foi et al., 2008)."""
    levels = np.arange(256, dtype=np.float32)
    spread = np.sqrt(READ_NOISE**2 + SHOT_NOISE * levels)  # by grey level
    out = np.empty_like(frames)
    for before, after in zip(frames, out, strict=True):  # one in float32 at a time
        drawn = rng.standard_normal(before.shape, dtype=np.float32)
        after[:] = np.clip(np.rint(before + spread[before] * drawn), 0, 255)
    return out


PERTURBATIONS = {
    **{
        f"crf{crf}": Perturbation(
            f"H.264 at CRF {crf}",
            "encoded by x264 at the clip's own frame rate, and decoded",
            partial(_h264, crf=crf),
        )
        for crf in RATE_FACTORS
    },
    "half_rate": Perturbation(
        "half the frame rate", "frames 0, 2, 4, ...", keep=partial(_every, step=2)
    ),
    "third_rate": Perturbation(
        "a third of the frame rate", "frames 0, 3, 6, ...", keep=partial(_every, step=3)
    ),
    "dropped_frames": Perturbation(
        "dropped frames",
        f"{100 * DROPPED:g} % of the frames left out, drawn at random",
        keep=_not_dropped,
    ),
    "half_resolution": Perturbation(
        "half the resolution",
        "both sides halved by area averaging, and enlarged bilinearly",
        _half_resolution,
    ),
    "darker": Perturbation(
        "darker",
        f"pixel values times {DARKER:g}: about two stops less light, at a gamma of 2.2",
        _darker,
    ),
    "noise": Perturbation(
        "sensor noise",
        f"Gaussian noise of {READ_NOISE:g} grey levels, and shot noise: a variance of "
        f"{SHOT_NOISE:g} for each grey level",
        _noise,
    ),
}
"""By the name that `--perturb` takes."""


def generator(seed: int, name: str, path: str) -> np.random.Generator:
    """The draws of one perturbation on one clip, whatever else is drawn.

    Args:
        seed: of the measurement.
        name: of the perturbation.
        path: of the clip, below its list's root.
    """
    key = hashlib.sha256(json.dumps([seed, name, path]).encode()).digest()
    return np.random.default_rng(int.from_bytes(key[:16], "big"))


def chosen_names(
    given: Sequence[str], *, among: Sequence[str] = tuple(PERTURBATIONS), option: str = "--perturb"
) -> tuple[list[str], list[str]]:
    """The perturbations that an option names, in their usual order, and what is wrong.

    There may be commas or blanks between names.

    Args:
        given: values of the option.
        among: names that are allowed, besides `ALL` of them.
        option: for messages.
    """
    named = [name for text in given for name in text.split(",") if name]
    unknown = [name for name in dict.fromkeys(named) if name not in (ALL, *among)]
    allowed = ", ".join((ALL, *among))
    wrong = [f"{option} names {name!r}; allowed: {allowed}" for name in unknown]
    return [name for name in among if ALL in named or name in named], wrong
