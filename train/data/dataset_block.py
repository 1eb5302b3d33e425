"""The DATASET block of a config that fits lists on disk, as YAML text."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from math import inf
from pathlib import Path

import yaml

from train.config.options import without_variables
from train.data.lists import LIST_NAMES

_PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_/.-]*")


def dataset_block(
    root: Path, classes: Path, lists: Mapping[str, Mapping[str, str | Path | float]]
) -> list[str]:
    """Lines of YAML, from `DATASET:` on.

    Args:
        root: folder of the dataset, as the block says it.
        classes: the file of class names.
        lists: the settings of each split that has a list; paths are said relative to the root
            where they lie in it.
    """
    lines = ["DATASET:", f"  root: {yaml_text(str(root))}"]
    lines.append(f"  classes: {yaml_text(_below(classes, root))}")
    for split in LIST_NAMES:
        if split in lists:
            settings = ", ".join(
                f"{key}: {_yaml_value(value, root)}" for key, value in lists[split].items()
            )
            lines.append(f"  {split}: {{{settings}}}")
        elif split != "test":
            lines.append(f"  # {split}: there is no list of labelled clips for it")
    return lines


def block_of_videos(
    root: Path, folder: Path, names: Iterable[str], *, balance: float = 0.0
) -> list[str]:
    """The block for lists of video files of one folder: some of `train`, `val`, `test`.

    Args:
        root: folder that the paths in the lists start from.
        folder: that of the lists and of `classes.txt`.
        names: of the lists that are there.
        balance: of the training list; 0 is left out.
    """
    there = set(names)
    lists: dict[str, dict[str, str | Path | float]] = {
        split: {"format": "VideoDataset", "file_path": folder / f"{name}.list"}
        for split, name in LIST_NAMES.items()
        if name in there
    }
    if balance:
        lists["train"]["balance"] = balance
    return dataset_block(root.absolute(), folder / "classes.txt", lists)


def yaml_text(text: str) -> str:
    """A text as YAML, quoted where it has to be; `${` in it is no variable."""
    text = without_variables(text)
    # A word that YAML reads as something else, such as null, is safer in quotes.
    if _PLAIN.fullmatch(text) and isinstance(yaml.safe_load(text), str):
        return text
    # Not JSON, which writes a character beyond U+FFFF as two halves: YAML reads two characters.
    shown = text.isprintable()
    return str(yaml.safe_dump(text, default_style='"', width=inf, allow_unicode=shown)).strip()


def _yaml_value(value: str | Path | float, root: Path) -> str:
    if isinstance(value, float):
        return str(value)
    return yaml_text(_below(value, root) if isinstance(value, Path) else value)


def _below(path: Path, root: Path) -> str:
    """A path as the block says it: relative to its root, or whole."""
    path, root = path.absolute(), root.absolute()
    return str(path.relative_to(root) if path.is_relative_to(root) else path)
