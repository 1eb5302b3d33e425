"""The embedded dataset: short clips whose label is a motion, written as mp4 files.

An object of random shape and texture moves over a random texture. Four things change: its place
from left to right and from top to bottom, its size, and its angle. One of them goes steadily one
way, and from its last value on to its first; that is the label. The other three go to and fro
meanwhile. All four visit the very same values and start at a random one of them, and every second
frame of them does too: eight of sixteen are what a network is evaluated on. So no frame, wherever
in the clip it stands, holds a trace of the label, and without their order no place, size or angle
does. (Which of the four is the one could be puzzled out of all together, by putting the frames in
order again.) Training clips are as hard as that or easier, since in many of them the others hardly
move.

    python -m train.data.motions --out data/motions

writes ``{train,val,test}/*.mp4``, ``{train,val,test}.list``, ``classes.txt`` and
``dataset.json`` (settings, and of each split a SHA-256 over its list and the bytes of its clips).
It is deterministic, and resumes.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import io
import json
import math
import sys
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from tqdm import tqdm

from infer.errors import ClipDuetError, listed
from infer.files import replacing, write_text
from infer.hardware import cores
from infer.signals import exit_status, stoppable
from train.data.processes import pool

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
        train, val, test: clips a split, classes in turn.
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
        uint8 ``[frames, size, size, 3]`` RGB, and the index of its class in :data:`CLASSES`.
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
    """How place (x, y), size and angle change in a clip of class ``label``.

    What moves takes all values in turn and goes on from the last to the first. The others go to and
    fro once, by pairs of neighbours: up over every second pair, down over those between, in a pair
    always in the same order. So every second of their values is every second of all, as it is of
    what moves. All four start at random. Of fewer than eight frames, going to and fro would be
    going one way.

    Returns:
        float64 ``[4, frames]``, in each row the middles of ``frames`` equal parts of -1..1.
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
    """A textured patch and its soft mask: float32 ``[p, p, 3]`` and ``[p, p]`` in 0..1.

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
    """Draw ``image`` with its centre at ``at`` (x, y), scaled and turned, on a black square."""
    height, width = image.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, zoom)
    matrix[:, 2] += at - np.array([width / 2, height / 2])
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)


def _texture(rng: np.random.Generator, size: int, *, cells: int) -> np.ndarray:
    """Smooth colour noise, float32 ``[size, size, 3]`` in 0..255."""
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


MOST_ENCODINGS = 10


def write_mp4(path: Path, frames: np.ndarray, *, fps: int) -> None:
    """Write uint8 ``[n, H, W, 3]`` RGB frames as H.264, atomically and reproducibly.

    Raises:
        ClipDuetError: the encoder made another file every time.
    """
    # Once in some thousand clips x264 decides by memory that it has not initialised: an encoding
    # counts when a second one is the same.
    seen: set[bytes] = set()
    while (data := _encoded(frames, fps)) not in seen:
        if len(seen) == MOST_ENCODINGS:
            raise ClipDuetError(f"{path}: x264 made {len(seen)} different files of the same frames")
        seen.add(data)
    with replacing(path) as file:
        file.write_bytes(data)


def _encoded(frames: np.ndarray, fps: int) -> bytes:
    """An mp4 file's bytes."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        # With B-frames that happens far more often.
        options = {"crf": "20", "bf": "0"}
        stream = container.add_stream("libx264", rate=Fraction(fps), options=options)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv420p"
        stream.thread_count = 1  # the encoder's output depends on the number of its threads
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    return file.getvalue()


def _write_one(job: tuple[MotionSpec, str, int, Path]) -> None:
    spec, split, index, path = job
    cv2.setNumThreads(1)
    write_mp4(path, draw_clip(spec, split, index)[0], fps=spec.fps)


def make_dataset(out: Path, spec: MotionSpec, *, workers: int | None = None) -> dict[str, str]:
    """Write what is missing of the dataset.

    Clips that an earlier call with the same settings wrote stay; other settings start anew.

    Returns:
        SHA-256 of each split, over its list and the bytes of its files in order.

    Raises:
        ClipDuetError: settings out of range, or ``out`` is no folder, or holds something else.
    """
    check_spec(spec)
    if workers is not None and workers < 1:
        raise ClipDuetError(f"workers is {workers}, allowed: 1 or more")
    record = out / "dataset.json"
    earlier = _earlier_settings(out, record)
    out.mkdir(parents=True, exist_ok=True)
    clip_settings = dataclasses.asdict(spec)
    settings = {"format": FORMAT, "av": av.__version__, "opencv": cv2.__version__}
    settings |= {k: v for k, v in clip_settings.items() if k not in (*SPLITS, "label_noise")}
    if earlier != settings:
        for stale in (file for split in SPLITS for file in (out / split).glob("*.mp4")):
            stale.unlink()
        write_text(record, json.dumps({"settings": settings}, indent=1))

    counts = {split: clip_settings[split] for split in SPLITS}
    paths = {s: [out / s / f"{i:05d}.mp4" for i in range(n)] for s, n in counts.items()}
    jobs = [
        (spec, split, index, path)
        for split, files in paths.items()
        for index, path in enumerate(files)
        if not path.exists()
    ]
    for split in SPLITS:
        (out / split).mkdir(exist_ok=True)
    if jobs:
        try:
            with pool(workers or cores()) as executor:
                done = executor.map(_write_one, jobs, chunksize=16)
                for _ in tqdm(done, total=len(jobs), desc="clips", unit="clip", disable=None):
                    pass
        except KeyboardInterrupt:
            # What the workers were writing.
            for partial in (file for split in SPLITS for file in (out / split).glob(".*.mp4.*")):
                partial.unlink(missing_ok=True)
            raise

    checksums = {}
    for split, files in paths.items():
        labels = [listed_label(spec, split, i, i % len(CLASSES)) for i in range(len(files))]
        lines = [f"{split}/{file.name} {y}\n" for file, y in zip(files, labels, strict=True)]
        write_text(out / f"{split}.list", "".join(lines))
        digest = hashlib.sha256("".join(lines).encode())
        for file in files:
            digest.update(file.read_bytes())
        checksums[split] = digest.hexdigest()
    write_text(out / "classes.txt", "\n".join(CLASSES) + "\n")
    summary = {"settings": settings, "spec": clip_settings, "sha256": checksums}
    write_text(record, json.dumps(summary, indent=1) + "\n")
    return checksums


def _earlier_settings(out: Path, record: Path) -> dict[str, Any] | None:
    """What the dataset in ``out`` was made with; None where there is nothing yet.

    Raises:
        ClipDuetError: what is there was not made by this module: it would be overwritten.
    """
    if out.exists() and not out.is_dir():
        raise ClipDuetError(f"{out} is a file; --out must name a folder")
    if not out.exists() or not any(out.iterdir()):
        return None
    try:
        settings: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ClipDuetError(
            f"{out} holds something else than this dataset (no readable {record.name}); its files "
            "would be overwritten: choose another --out, or empty it"
        ) from None
    return settings


def main(arguments: list[str] | None = None) -> int:
    """The command line: every field of :class:`MotionSpec` is an option."""
    parser = argparse.ArgumentParser(prog="python -m train.data.motions", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--out", type=Path, default=Path("data/motions"), help="folder to fill")
    parser.add_argument("--workers", type=int, default=None, help="processes (default: cores)")
    for field in dataclasses.fields(MotionSpec):
        option = "--" + field.name.replace("_", "-")
        kind = int if field.type == "int" else float
        parser.add_argument(option, type=kind, default=field.default, help="default: %(default)s")
    options = vars(parser.parse_args(arguments))
    out, workers = options.pop("out"), options.pop("workers")
    try:
        with stoppable():
            checksums = make_dataset(out, MotionSpec(**options), workers=workers)
    except ClipDuetError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(
            "\nstopped; the same command goes on with the clips that are missing", file=sys.stderr
        )
        return exit_status(stop)
    for split, checksum in checksums.items():
        file = out / f"{split}.list"
        own = hashlib.sha256(file.read_bytes()).hexdigest()[:16]
        print(f"{file}  {options[split]} clips  sha256 {own}, with all clips {checksum[:16]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
