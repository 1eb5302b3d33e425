"""The BEFORE block: what must be there before a run can start, and how to make it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Discriminator, Field, Tag

from train.config.schema.common import Block, Positive
from train.config.schema.data import ListFile


def _variable(name: str) -> str:
    if not name.isidentifier() or not name.isupper():
        raise ValueError(f"{name!r} must be the name of a variable in capitals, such as TEACHER")
    return name


class Training(Block):
    """The variable is the best checkpoint of another config, trained with this run's seed."""

    train: Annotated[str, Field(min_length=1)]
    """The other config, relative to this one."""
    relative_to: str = ""
    """Folder that `train` is relative to; empty: this config's. A run writes it into its own
    config.yaml, which lies elsewhere; it is no part of what a run is."""
    override: list[str] = []
    """`a.b.c=value`: what to change in it."""
    ready: str | None = None
    """A checkpoint, relative as `train` is: where it is there it is taken, and nothing is trained.
    None: every run trains its own."""


class Labelling(Block):
    """The variable is a list of clips with the labels that a trained network gives them."""

    label: Annotated[str, Field(min_length=1)]
    """The config that the network was trained with, relative to this one."""
    relative_to: str = ""
    """Folder that `label` is relative to, as for a training."""
    weights: Annotated[str, Field(min_length=1)]
    """Its checkpoint."""
    clips: ListFile
    """The clips, relative to this config's `DATASET.root`; their labels are not looked at."""
    top_k: Positive | None = None
    """The surest clips to keep of every class; none: all."""


def _kind(block: Any) -> str | None:
    """The name of the class that a block is or is meant for."""
    if not isinstance(block, Mapping):
        return type(block).__name__ if isinstance(block, Labelling) else "Training"
    if "train" in block:
        return "Training"
    return "Labelling" if "label" in block else None


Variable = Annotated[str, AfterValidator(_variable)]
Prerequisite = Annotated[
    Annotated[Training, Tag("Training")] | Annotated[Labelling, Tag("Labelling")],
    Discriminator(
        _kind,
        custom_error_type="before",
        custom_error_message="must name a config to train (`train`) or to label with (`label`)",
    ),
]
Before = dict[Variable, Prerequisite]
"""By variable, which texts of the config use as `${NAME}`; one that is set is not made."""


def ready_file(block: Any, folder: Path) -> Path | None:
    """The checkpoint that a block of BEFORE takes in place of a training; None: it has to train.

    Args:
        block: as plain data.
        folder: that of the config.
    """
    if not isinstance(block, Mapping) or not block.get("ready"):
        return None
    file = folder / str(block.get("relative_to") or "") / str(block["ready"])
    return file if file.is_file() else None
