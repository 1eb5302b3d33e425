"""The embedded dataset: short clips whose label is a motion, written as mp4 files.

An object of random shape and texture moves over a random texture. The label is its heading, one of
eight. It stands at each of the eight places of a ring once, in two frames each. Its size and angle
change too, so that they swing to and fro along the ring. It goes from the rear of the ring over its
right side to the front, jumps back, and goes over the left side to the front; a clip begins
anywhere in this round. Seen from any heading the ring is the same. So the pictures of a clip are
drawn without its label, and only the order in which they are shown depends on it. No frame,
wherever in the clip it stands, and no set of frames without their order holds a trace of the label,
apart from what the video codec keeps of the frame before.

Training clips are as hard as that or easier: in half of them the ring is flat across the heading,
in the others it is flatter by a random factor; size and angle swing less in the same way. Without
easy clips a small network hardly begins to learn.

    python -m train.data.motions --out data/motions

writes `{train,val,test}/*.mp4`, `{train,val,test}.list`, `classes.txt` and
`dataset.json` (settings, and of each split a SHA-256 over its list and the bytes of its clips).
It is deterministic, and resumes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import json
from concurrent.futures.process import BrokenProcessPool
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from tqdm import tqdm

from infer.system.errors import ClipDuetError, os_reason
from infer.system.files import WriteError, replacing, sha256_of, write_text, writing
from infer.system.hardware import cores
from train.data.motions.clips import (
    CLASSES,
    FORMAT,
    SPLITS,
    MotionSpec,
    check_spec,
    draw_clip,
    listed_label,
)
from train.data.motions.files import (
    RECORD,
    is_whole,
    read_checksums,
    write_record,
)
from train.data.processes import worker_pool
from train.process import zero_memory

MOST_ENCODINGS = 10


def write_mp4(path: Path, frames: np.ndarray, *, fps: int, zeroed: bool = False) -> None:
    """Write frames as H.264, atomically and reproducibly.

    Args:
        path: an mp4 file.
        frames: uint8 `[n, H, W, 3]` RGB.
        fps: frames a second.
        zeroed: whether memory begins as zeros in this process (`train.process.zero_memory`).

    Raises:
        ClipDuetError: the encoder made another file every time.
    """
    # Once in some thousand clips x264 decides by memory that it has not initialised. Where that may
    # hold anything an encoding counts when a second one is the same.
    seen: set[bytes] = set()
    while (data := _encoded(frames, fps)) not in seen and not zeroed:
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


def _write_one(job: tuple[MotionSpec, str, int, Path]) -> str:
    """Write a clip; its checksum."""
    spec, split, index, path = job
    cv2.setNumThreads(1)
    write_mp4(path, draw_clip(spec, split, index)[0], fps=spec.fps, zeroed=zero_memory())
    return sha256_of(path)


def make_dataset(out: Path, spec: MotionSpec, *, workers: int | None = None) -> dict[str, str]:
    """Write what is missing of the dataset.

    Clips that an earlier call with the same settings wrote stay, unless they have changed since;
    other settings start anew.

    Returns:
        SHA-256 of each split, over its list and the bytes of its files in order.

    Raises:
        ClipDuetError: settings out of range, or `out` is no folder, or holds something else.
        WriteError: a file cannot be written, perhaps because the disk is full; the clips that are
            whole stay.
    """
    check_spec(spec)
    if workers is not None and workers < 1:
        raise ClipDuetError(f"workers is {workers}, allowed: 1 or more")
    record = out / "dataset.json"
    earlier = _earlier_settings(out, record)
    with writing(out):
        for split in SPLITS:
            (out / split).mkdir(parents=True, exist_ok=True)
    clip_settings = dataclasses.asdict(spec)
    settings = {"format": FORMAT, "av": av.__version__, "opencv": cv2.__version__}
    settings |= {k: v for k, v in clip_settings.items() if k not in (*SPLITS, "label_noise")}
    if earlier != settings:
        with writing(out):
            (out / RECORD).unlink(missing_ok=True)
            for stale in (file for split in SPLITS for file in (out / split).glob("*.mp4")):
                stale.unlink()
        write_text(record, json.dumps({"settings": settings}, indent=1))

    counts = {split: clip_settings[split] for split in SPLITS}
    paths = {s: [out / s / f"{i:05d}.mp4" for i in range(n)] for s, n in counts.items()}
    known = read_checksums(out)
    jobs = [
        (spec, split, index, path)
        for split, files in paths.items()
        for index, path in enumerate(files)
        if not is_whole(path, known.get(f"{split}/{path.name}"))
    ]
    if jobs:
        _write(out, jobs, known, workers=workers or cores())

    checksums = {}
    for split, files in paths.items():
        labels = [listed_label(spec, split, i, i % len(CLASSES)) for i in range(len(files))]
        lines = [f"{split}/{file.name} {y}\n" for file, y in zip(files, labels, strict=True)]
        write_text(out / f"{split}.list", "".join(lines))
        digest = hashlib.sha256("".join(lines).encode())
        for file in files:
            data = file.read_bytes()
            digest.update(data)
            known[f"{split}/{file.name}"] = hashlib.sha256(data).hexdigest()
        checksums[split] = digest.hexdigest()
    write_record(out, known)
    write_text(out / "classes.txt", "\n".join(CLASSES) + "\n")
    summary = {"settings": settings, "spec": clip_settings, "sha256": checksums}
    write_text(record, json.dumps(summary, indent=1) + "\n")
    return checksums


def _write(
    out: Path, jobs: list[tuple[MotionSpec, str, int, Path]], known: dict[str, str], *, workers: int
) -> None:
    """Write clips and keep their checksums, also of those that were done before it failed."""
    try:
        with worker_pool(workers) as executor:
            done = executor.map(_write_one, jobs, chunksize=16)
            bar = tqdm(done, total=len(jobs), desc="clips", unit="clip", disable=None)
            for (_, split, _, path), checksum in zip(jobs, bar, strict=True):
                known[f"{split}/{path.name}"] = checksum
    except BaseException as error:
        with contextlib.suppress(WriteError):
            write_record(out, known)
        # What the workers were writing.
        for partial in (file for split in SPLITS for file in (out / split).glob(".*.mp4.*")):
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
        if isinstance(error, BrokenProcessPool):
            raise ClipDuetError(
                f"a process that wrote clips to {out} was killed, perhaps for its memory: try "
                "fewer --workers; the same command goes on with the clips that are missing"
            ) from error
        raise


def _earlier_settings(out: Path, record: Path) -> dict[str, Any] | None:
    """What the dataset in `out` was made with; None where there is nothing yet.

    Raises:
        ClipDuetError: what is there was not made by this module: it would be overwritten.
    """
    if out.exists() and not out.is_dir():
        raise ClipDuetError(f"{out} is a file; --out must name a folder")
    try:
        if not out.exists() or not any(out.iterdir()):
            return None
    except OSError as error:
        raise ClipDuetError(f"{out} cannot be read: {os_reason(error)}") from error
    try:
        settings: dict[str, Any] = json.loads(record.read_text(encoding="utf-8"))["settings"]
    except (OSError, ValueError, KeyError, TypeError):
        raise ClipDuetError(
            f"{out} holds something else than this dataset (no readable {record.name}); its files "
            "would be overwritten: choose another --out, or empty it"
        ) from None
    return settings
