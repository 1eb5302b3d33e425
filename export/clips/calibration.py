"""The clips that 8-bit ranges are measured on: of the training list, recorded, none held out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from infer.system.errors import ClipDuetError, VideoError
from infer.system.files import sha256_of
from train.data.dataset import ClipDataset
from train.data.lists import Sample
from train.data.unreadable import Failed, reasons, unreadable_error


class CalibrationError(ClipDuetError):
    """No clips to calibrate on, or clips that must not be used for it."""


@dataclass(frozen=True)
class Calibration:
    """The clips that ranges are taken from.

    Attributes:
        list_file: where they were listed.
        list_sha256: checksum of that file.
        clips: uint8 `[n, T, H, W, 3]`, evaluation sampling of the chosen videos.
        chosen: lines `path label` of the videos, in the order of `clips`.
        failed: videos that were drawn and could not be read; others took their place.
    """

    list_file: Path
    list_sha256: str
    clips: np.ndarray
    chosen: tuple[str, ...]
    failed: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """What `bundle.json` remembers of it."""
        text = "".join(f"{line}\n" for line in self.chosen)
        return {
            "list": str(self.list_file),
            "list_sha256": self.list_sha256,
            "clips": len(self.clips),
            "clips_sha256": hashlib.sha256(text.encode()).hexdigest(),
            "failed": len(self.failed),
        }


def draw_calibration(
    dataset: ClipDataset,
    *,
    list_file: Path,
    count: int,
    seed: int,
    held_out: Iterable[Sample],
    limit: float = 100.0,
) -> Calibration:
    """Choose and read `count` training clips, the same for the same seed.

    Args:
        dataset: the training list in evaluation mode: deployment's frames and pixels.
        list_file: the training list.
        count: clips wanted; fewer are taken where the list is shorter.
        seed: draws the clips.
        held_out: samples of the validation and test lists.
        limit: percent of the list that may be unreadable.

    Raises:
        CalibrationError: the training list shares videos with the held-out ones, or none of its
            videos can be read.
        UnreadableError: so many of those that were drawn cannot be read that the list is beyond
            the limit.
    """
    held = {sample.path.resolve() for sample in held_out}
    shared = [str(s.path) for s in dataset.samples if s.path.resolve() in held]
    if shared:
        shown = "".join(f"\n  {path}" for path in shared[:5])
        raise CalibrationError(
            f"{len(shared)} videos of {list_file} are in the validation or test list as well, so "
            "accuracy measured there would not be that of unseen clips; take them out of one of "
            f"the lists:{shown}"
        )
    clips: list[np.ndarray] = []
    chosen: list[str] = []
    failed: list[Failed] = []
    for index in np.random.default_rng(seed).permutation(len(dataset)).tolist():
        if len(clips) >= count:
            break
        sample = dataset.samples[index]
        try:
            views, _ = dataset.read(index, rng=None)
        except VideoError as error:
            failed.append((str(sample.path), error.reason))
            continue
        # Where a frame is cut into several clips, ranges come from all of its parts in turn.
        clips.append(views[len(clips) % dataset.spec.preprocess.crops])
        chosen.append(f"{sample.path} {sample.label}")
    if not clips:
        why = reasons(failed) or ["it is empty"]
        what = f"no clip of {list_file} can be used for calibration:"
        raise CalibrationError("\n  ".join([what, *why]))
    beyond = unreadable_error(
        failed,
        seen=len(failed) + len(clips),
        listed=len(dataset),
        limit=limit,
        what=f"clips of {list_file}",
    )
    if beyond is not None:
        raise beyond
    digest = sha256_of(list_file)
    lines = tuple(f"{path}: {reason}" for path, reason in failed)
    return Calibration(list_file, digest, np.stack(clips), tuple(chosen), lines)
