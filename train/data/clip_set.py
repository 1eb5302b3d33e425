"""All clips of a set, whatever lists name them: what folds are made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from infer.system.errors import listed
from train.config.list_format import ListFormat
from train.config.schema.common import SPLITS
from train.config.schema.experiment import Config
from train.data.folds import FoldsError
from train.data.lists import Sample, read_list


@dataclass(frozen=True)
class ClipSet:
    """All clips of a set, each once, as a list would name them.

    Attributes:
        root: folder that the paths start from.
        paths: of each clip, below the root where it lies there.
        labels: of each clip.
        frames: of each clip, or None where they are videos.
        format: of the lists.
        suffix: of the lists.
    """

    root: Path
    paths: tuple[str, ...]
    labels: tuple[int, ...]
    frames: tuple[int, ...] | None
    format: ListFormat
    suffix: str

    def lines(self, places: Sequence[int] | npt.NDArray[np.int64]) -> list[str]:
        """The lines of a list of some clips."""
        return [
            f"{self.paths[i]} {'' if self.frames is None else f'{self.frames[i]} '}{self.labels[i]}"
            for i in map(int, places)
        ]


def clips_of_config(cfg: Config) -> ClipSet:
    """All clips of a config's lists, each once.

    Raises:
        FoldsError: lists of different formats or without labels, or a clip with two labels.
        ListError: a list cannot be read.
    """
    found = [files for files in map(cfg.lists.get, SPLITS) if files is not None]
    if not all(files.labelled for files in found):
        raise FoldsError(f"{cfg.source}: folds need labels, and DATASET.train has none")
    if len({(files.format, files.suffix) for files in found}) > 1:
        raise FoldsError(f"{cfg.source}: folds need lists of one format and suffix")
    lists = [
        read_list(
            files.list_file,
            root=files.root,
            format=files.format,
            num_classes=cfg.class_num,
            suffix=files.suffix,
        )
        for files in found
    ]
    samples = [sample for each in lists for sample in each]
    return clip_set(samples, found[0].root, found[0].format, found[0].suffix, cfg.source)


def clip_set(
    samples: Sequence[Sample], root: Path, format: ListFormat, suffix: str, source: object
) -> ClipSet:
    """The clips of lists, each once.

    Raises:
        FoldsError: a clip has two labels.
    """
    known: dict[str, Sample] = {}
    wrong = []
    for sample in samples:
        name = _named(sample.path, root)
        name = name.removesuffix(suffix) if format == "VideoDataset" else name
        if known.setdefault(name, sample).label != sample.label:
            wrong.append(f"{name}: {known[name].label} and {sample.label}")
    if wrong:
        raise FoldsError(listed(f"{source}: clips that have two labels", wrong))
    frames = tuple(sample.frames or 0 for sample in known.values())
    return ClipSet(
        root.absolute(),
        tuple(known),
        tuple(sample.label for sample in known.values()),
        frames if format == "FrameDataset" else None,
        format,
        suffix,
    )


def _named(path: Path, root: Path) -> str:
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return str(path.absolute())
