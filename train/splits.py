"""The datasets of a config: lists read and checked, ready to load."""

from __future__ import annotations

from infer.errors import ClipDuetError
from train.config import Config, clip_spec, split_files, transform_blocks
from train.data.augment import build_transforms
from train.data.dataset import ClipDataset
from train.data.lists import ListError, read_list
from train.schema_data import Split


def build_dataset(cfg: Config, split: Split) -> ClipDataset:
    """The dataset of one split; training draws and augments, the others see what deployment sees.

    Raises:
        ListError: every wrong line of the list.
        ClipDuetError: the config has no such split.
    """
    files = split_files(cfg, split)
    if files is None:
        raise ClipDuetError(f"{cfg.source}: DATASET has no {split} list")
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


def training_datasets(cfg: Config) -> tuple[ClipDataset, ClipDataset]:
    """The datasets for training and validation; the mistakes of both lists in one error."""
    found, problems = [], []
    for split in ("train", "valid"):
        try:
            found.append(build_dataset(cfg, split))
        except ListError as error:
            problems.append(str(error))
    if problems:
        raise ClipDuetError("\n".join(problems))
    return found[0], found[1]
