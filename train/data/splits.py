"""The datasets of a config: lists read and checked, ready to load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from infer.system.errors import ClipDuetError
from train.config.load import Config, clip_spec, split_files, transform_blocks
from train.config.schema.data import Split
from train.data.augment.transforms import build_transforms
from train.data.dataset import ClipDataset
from train.data.lists import ListError, Sample, read_list


def build_dataset(
    cfg: Config, split: Split, *, samples: Sequence[Sample] | None = None
) -> ClipDataset:
    """The dataset of one split; training draws and augments, the others see what deployment sees.

    `samples` stand for those of the list, if that is not there yet.

    Raises:
        ListError: every wrong line of the list.
        ClipDuetError: the config has no such split.
    """
    files = split_files(cfg, split)
    if files is None:
        raise ClipDuetError(f"{cfg.source}: DATASET has no {split} list")
    if samples is None:
        samples = read_list(
            files.list_file,
            root=files.root,
            format=files.format,
            num_classes=cfg.class_num,
            suffix=files.suffix,
            labelled=files.labelled,
        )
    training = split == "train"
    return ClipDataset(
        samples,
        clip_spec(cfg, split),
        train=training,
        transforms=build_transforms(transform_blocks(cfg)) if training else (),
        suffix=files.suffix if files.format == "FrameDataset" else "",
        cache=cfg.DATASET.cache,
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
