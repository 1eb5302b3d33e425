"""The clips an export needs: some to verify on, some to calibrate on, and never the same."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from export.clips.calibration import Calibration, draw_calibration
from export.verify.parity import VerificationError
from infer.clips.spec import ClipSpec
from infer.system.errors import ClipDuetError, VideoError
from infer.system.log import logger
from train.config.load import Config
from train.config.schema.common import Split
from train.data.dataset import ClipDataset
from train.data.lists import ListError, Sample
from train.data.splits import build_dataset

log = logger(__name__)

CACHE_BYTES = 1 << 30
"""Verification clips stay in memory up to here: every runtime sees them without decoding again."""


@dataclass(frozen=True)
class Verification:
    """Clips of the validation list.

    Attributes:
        dataset: some of the list, evenly spread, for accuracy.
        list_file: the list.
        clips: uint8 `[n, T, H, W, 3]`, the first view of the first videos that can be read.
        paths: their paths.
        max_unreadable: percent of them that may be unreadable.
        whole: every sample of the list.
    """

    dataset: ClipDataset
    list_file: str
    clips: np.ndarray
    paths: tuple[str, ...]
    max_unreadable: float = 100.0
    whole: tuple[Sample, ...] = ()


def verification(cfg: Config, *, count: int, parity: int) -> Verification:
    """Read what artefacts are verified on.

    Args:
        cfg: the config.
        count: how many samples of the validation list; 0 takes all.
        parity: how many clips to read for the comparisons of single clips and batches.

    Raises:
        ListError: the list has wrong lines.
        VerificationError: none of its videos can be read.
    """
    samples = whole = _samples(cfg, "valid")
    if 0 < count < len(samples):
        samples = [samples[i] for i in np.linspace(0, len(samples) - 1, count).round().astype(int)]
    spec = cfg.specs["valid"]
    size = int(np.prod(spec.clip_shape)) * spec.clips * len(samples)
    dataset = _dataset(cfg, "valid", samples, spec, cache=size <= CACHE_BYTES)
    clips, paths, reason = first_clips(dataset, parity)
    if not clips:
        raise VerificationError(
            f"no clip of the validation list can be read, so nothing can be verified; the first: "
            f"{reason}"
        )
    files = cfg.lists["valid"]
    return Verification(
        dataset,
        str(files and files.list_file),
        np.stack(clips),
        tuple(paths),
        cfg.max_unreadable,
        tuple(whole),
    )


def first_clips(dataset: ClipDataset, count: int) -> tuple[list[np.ndarray], list[str], str]:
    """The first view of the first videos that can be read, their paths, and why others cannot."""
    clips: list[np.ndarray] = []
    paths: list[str] = []
    reason = ""
    for index, sample in enumerate(dataset.samples):
        if len(clips) >= count:
            break
        try:
            clips.append(dataset.read(index, rng=None)[0][0])
            paths.append(str(sample.path))
        except VideoError as error:
            reason = reason or str(error)
    return clips, paths, reason


def calibration(cfg: Config, *, count: int) -> Calibration:
    """Draw training clips, none of which is in the validation or test list.

    Raises:
        ListError: the training list has wrong lines.
        CalibrationError: the lists overlap, or no video can be read.
        UnreadableError: more videos cannot be read than `cfg.max_unreadable` allows.
    """
    files = cfg.lists["train"]
    if files is None:
        raise ClipDuetError(f"{cfg.source}: DATASET has no train list to calibrate on; --no-int8")
    held_out = _samples(cfg, "valid")
    if cfg.lists["test"] is not None:
        try:
            held_out += _samples(cfg, "test")
        except ListError as error:
            first = str(error).splitlines()[0]
            log.info(
                f"note: overlap with the test list was not checked, it cannot be used: {first}"
            )
    dataset = _dataset(cfg, "train", _samples(cfg, "train"), cfg.specs["valid"], cache=False)
    return draw_calibration(
        dataset,
        list_file=files.list_file,
        count=count,
        seed=cfg.seed,
        held_out=held_out,
        limit=cfg.max_unreadable,
    )


def _samples(cfg: Config, split: Split) -> list[Sample]:
    return list(build_dataset(cfg, split).samples)


def _dataset(
    cfg: Config, split: Split, samples: list[Sample], spec: ClipSpec, *, cache: bool
) -> ClipDataset:
    """Any split as evaluation sees it."""
    files = cfg.lists[split]
    folders = files is not None and files.format == "FrameDataset"
    suffix = files.suffix if files is not None and folders else ""
    return ClipDataset(samples, spec, train=False, suffix=suffix, cache=cache)
