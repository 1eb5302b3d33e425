"""The datasets of a config: lists read and checked, ready to load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infer.system.errors import ClipDuetError
from train.config.errors import ConfigError, Mistake, unknown_name
from train.config.schema.common import Split
from train.config.schema.experiment import Config
from train.data.augment.transforms import build_transforms
from train.data.dataset import ClipDataset
from train.data.lists import ListError, Sample, read_list


def build_dataset(
    cfg: Config,
    split: Split,
    *,
    samples: Sequence[Sample] | None = None,
    cache: bool | None = None,
) -> ClipDataset:
    """The dataset of one split; training draws and augments, the others see what deployment sees.

    `samples` stand for those of the list, if that is not there yet.

    Raises:
        ListError: every wrong line of the list.
        ClipDuetError: the config has no such split.
    """
    files = cfg.lists[split]
    if files is None:
        raise ClipDuetError(f"{cfg.source}: DATASET has no {split} list")
    missing: list[str] = []
    if samples is None:
        samples = read_list(
            files.list_file,
            root=files.root,
            format=files.format,
            num_classes=cfg.class_num,
            suffix=files.suffix,
            labelled=files.labelled,
            missing=missing if cfg.DATASET.skip_missing else None,
        )
    training = split == "train"
    return ClipDataset(
        samples,
        cfg.specs[split],
        train=training,
        transforms=build_transforms(training_transforms(cfg)) if training else (),
        suffix=files.suffix if files.format == "FrameDataset" else "",
        cache=cfg.DATASET.cache if cache is None else cache,
        missing=missing,
    )


def training_datasets(
    cfg: Config, *, given: Mapping[Split, Sequence[Sample]] | None = None
) -> tuple[ClipDataset, ClipDataset]:
    """The datasets for training and validation; the mistakes of both lists in one error.

    `given` are the samples of splits whose lists are not there yet.
    """
    found, problems = [], []
    splits: tuple[Split, ...] = ("train", "valid")
    for split in splits:
        try:
            found.append(build_dataset(cfg, split, samples=(given or {}).get(split)))
        except ListError as error:
            problems.append(str(error))
    if problems:
        raise ClipDuetError("\n".join(problems))
    return found[0], found[1]


def training_transforms(cfg: Config) -> list[dict[str, dict[str, Any]]]:
    """The training transforms for `build_transforms`; a flip knows which labels it swaps.

    Raises:
        ConfigError: `DATASET.label_flip` names a class that there is not.
    """
    blocks = cfg.PIPELINE.train.blocks()
    swaps = cfg.DATASET.label_flip
    flips = [block["RandomFlip"] for block in blocks if "RandomFlip" in block]
    if not flips or not isinstance(swaps, dict):
        return blocks
    names = cfg.class_names
    labels = {name: index for index, name in enumerate(names)}
    labels = {str(index): index for index in range(len(names))} | labels
    unknown = [name for name in swaps if name not in labels]
    if unknown:
        where = ("DATASET", "label_flip")
        mistakes = [Mistake(where, unknown_name("class", name, names)) for name in unknown]
        raise ConfigError(cfg.source, mistakes)
    for flip in flips:
        flip["labels"] = {labels[a]: labels[b] for a, b in swaps.items()}
    return blocks
