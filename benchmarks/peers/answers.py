"""Whether PaddleVideo and ours answer alike, before anything is timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.errors import BenchmarkError
from benchmarks.peers.paddlevideo import FileProblem, PaddleVideo
from infer.api import Model
from infer.clips.decode import Frames, VideoInfo
from infer.clips.preprocess import load_clips
from infer.clips.spec import ClipSpec
from infer.system.errors import VideoError

LARGEST = 1e-3
"""Difference of logits from PaddleVideo's in float32, as a share of its largest."""
TYPICAL = 0.6
"""Root mean square of it in fewer bits, as a share of the logits': 8 bits of random weights give
0.4, a network that computes something else gives more than 1."""
MOST_TOLD = 20


@dataclass(frozen=True)
class Readable:
    """A clip that both can read: its file, pixels as PaddleVideo's, and PaddleVideo's logits."""

    file: Path
    info: VideoInfo
    clips: Frames
    logits: np.ndarray

    def to_dict(self) -> dict[str, Any]:
        """What a result file says of it."""
        names = ("codec", "width", "height", "frames", "decoded")
        return {"clip": self.file.name, **{name: getattr(self.info, name) for name in names}}


def read_ours(files: Sequence[Path], spec: ClipSpec) -> tuple[dict[Path, Any], dict[str, str]]:
    """Clips and what is known of each file by its path; why others cannot be read, by name.

    Raises:
        BenchmarkError: none can be read.
    """
    found: dict[Path, Any] = {}
    left_out = {}
    for file in files:
        try:
            found[file] = load_clips(file, spec)
        except VideoError as error:
            left_out[file.name] = error.reason
    if not found:
        raise BenchmarkError(_none(left_out))
    return found, left_out


def read_both(read: Mapping[Path, Any], peer: PaddleVideo) -> tuple[list[Readable], dict[str, str]]:
    """Of files that ours read, those that PaddleVideo reads too; why not the others.

    Raises:
        BenchmarkError: it reads none.
    """
    both, left_out = [], {}
    for file, (clips, info) in read.items():
        try:
            logits = peer.answer([file])["logits"]
        except FileProblem as error:
            left_out[file.name] = str(error)
            continue
        both.append(Readable(file, info, clips, np.asarray(logits, np.float32)))
    if not both:
        raise BenchmarkError(_none(left_out))
    return both, left_out


def compare(
    models: Mapping[str, Model], clips: Sequence[Readable], *, leave_out: bool
) -> tuple[list[Readable], dict[str, str], dict[str, dict[str, float]]]:
    """Compare every cell's logits with PaddleVideo's.

    Args:
        models: by cell, such as `onnxruntime:fp32`, at least one of which computes in float32.
        clips: what they are compared on.
        leave_out: whether clips that differ are left out, and not refused.

    Returns:
        The clips that are answered alike, in what the others differ by name, and by cell how far
        the logits of those that are left are apart.

    Raises:
        BenchmarkError: names clips that differ in float32, where they are not left out or none
            would be left; or a cell of fewer bits that computes something else.
    """
    expected = np.concatenate([clip.logits for clip in clips])
    scale = float(np.abs(expected).max()) or 1.0
    logits, wrong = {}, {}
    for cell, model in models.items():
        logits[cell] = np.concatenate([model.logits(clip.clips) for clip in clips])
        if logits[cell].shape != expected.shape:
            raise BenchmarkError(
                f"{cell}: logits of {logits[cell].shape}, PaddleVideo's of {expected.shape}"
            )
        if model.precision != "fp32":
            continue
        for row in range(len(clips)):
            share = float(np.abs(logits[cell][row] - expected[row]).max()) / scale
            labels = int(logits[cell][row].argmax()), int(expected[row].argmax())
            if not share <= LARGEST or labels[0] != labels[1]:
                wrong[row] = (
                    f"logits of {cell} by {share:.3g} of the largest (allowed: {LARGEST:g}), "
                    f"class {labels[0]}, PaddleVideo's {labels[1]}"
                )
    differing = {clips[row].file.name: why for row, why in sorted(wrong.items())}
    if len(wrong) == len(clips) or (wrong and not leave_out):
        raise BenchmarkError(_refusal(differing, len(clips)))
    rows = [row for row in range(len(clips)) if row not in wrong]
    found = {}
    for cell, model in models.items():
        apart, typical = logits[cell][rows] - expected[rows], _rms(expected[rows])
        same = logits[cell][rows].argmax(axis=1) == expected[rows].argmax(axis=1)
        found[cell] = {
            "largest_share": float(np.abs(apart).max()) / scale,
            "typical_share": _rms(apart) / typical,
            "same_answers": float(same.mean()),
        }
        if model.precision != "fp32" and not found[cell]["typical_share"] <= TYPICAL:
            raise BenchmarkError(
                f"{cell} computes something else than PaddleVideo: its logits typically differ by "
                f"{found[cell]['typical_share']:.3g} of theirs (allowed: {TYPICAL:g}); nothing "
                "was timed"
            )
    return [clips[row] for row in rows], differing, found


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.square(values, dtype=np.float64).mean())) or 1.0


def _refusal(differing: Mapping[str, str], clips: int) -> str:
    lines = [f"{name}: {why}" for name, why in differing.items()]
    more = len(lines) - MOST_TOLD
    told = lines[:MOST_TOLD] + ([f"and {more} more"] if more > 0 else [])
    return (
        "the answers differ from PaddleVideo's; nothing was timed:\n  "
        + "\n  ".join(told)
        + (
            ""
            if len(lines) == clips
            else "\nIts reader gives other frames of some files; --leave-out-differing times the "
            "other clips"
        )
    )


def _none(left_out: Mapping[str, str]) -> str:
    return "no clip can be read by both:\n  " + "\n  ".join(
        f"{name}: {why}" for name, why in left_out.items()
    )
