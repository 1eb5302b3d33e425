"""The DATASET block: which clips, and where they are (PaddleVideo's layout)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from train.config.list_format import ListFormat
from train.config.schema.common import Block, Positive, Rate, Share, Split


def _classes(value: Any) -> Any:
    if value is None or (isinstance(value, str) and value):
        return value
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ValueError("must be a file of class names or a list of texts; quote names like '1'")
    twice = sorted({name for name in value if value.count(name) > 1})
    if not value or twice:
        raise ValueError(f"names a class twice: {', '.join(twice)}" if twice else "is empty")
    return value


def _label_flip(value: Any) -> Any:
    """`{left: right}` both ways, as text: mirroring twice undoes itself."""
    if not isinstance(value, dict):
        if value not in ("allowed", "forbidden"):
            raise ValueError("must be allowed, forbidden, or a mapping {class: class}")
        return value
    swaps: dict[str, str] = {}
    for a, b in value.items():
        if not isinstance(b, (str, int)) or isinstance(b, bool):
            raise ValueError(f"{a}: must be a class name or number")
        for one, other in ((str(a), str(b)), (str(b), str(a))):
            if swaps.setdefault(one, other) != other:
                raise ValueError(f"swaps {one} with both {swaps[one]} and {other}")
    return swaps


Text = Annotated[str, BeforeValidator(lambda value: "" if value is None else value)]
"""Nothing, as in `suffix:` or `-o ...suffix=`, is an empty text."""
Classes = Annotated[str | list[str] | None, BeforeValidator(_classes)]
LabelFlip = Annotated[
    Literal["allowed", "forbidden"] | dict[str, str], BeforeValidator(_label_flip)
]


@dataclass(frozen=True)
class SplitFiles:
    """Where a split is, with `DATASET.root` applied."""

    list_file: Path
    root: Path
    format: ListFormat
    suffix: str
    labelled: bool = True


class ListFile(Block):
    """The list of one split."""

    format: ListFormat
    """`path label` a line for videos, `path frames label` for folders of frames."""
    file_path: Annotated[str, Field(min_length=1)]
    """The list, relative to `DATASET.root`."""
    data_prefix: Text = ""
    """Folder that the paths in the list start from, relative to `DATASET.root`."""
    labelled: bool = True
    """False: the lines need no label, and one that is there is not looked at; training only."""
    suffix: Text = ""
    """Videos: added to each path. Folders: pattern of the frame names, img_{:05}.jpg if empty."""
    balance: Share = 0.0
    """Training only: how far clips of rare classes are repeated, 0 not at all, 1 until every class
    is shown as often as the largest; see `train.data.balance`."""

    @model_validator(mode="after")
    def _suffix_of_its_kind(self) -> ListFile:
        if self.format == "VideoDataset" and "{" in self.suffix:
            raise ValueError(
                f"suffix {self.suffix} is a pattern of frame names, VideoDataset would append it "
                "to each path; set suffix to nothing"
            )
        return self


class Dataset(Block):
    """The clips and how many are loaded at a time."""

    train: ListFile
    valid: ListFile
    test: ListFile | None = None
    """None: there is no test split."""
    root: str = ""
    """Folder that the relative paths of this block start from; empty: the current folder."""
    classes: Classes = None
    """A file with one class name a line, or the names; none: the class numbers are the names."""
    batch_size: Positive = 8
    """Clips a training step."""
    valid_batch_size: Positive | None = None
    """Clips at a time in validation; none: batch_size."""
    test_batch_size: Positive | None = None
    """Clips at a time in tests; none: batch_size."""
    num_workers: Annotated[int, Field(ge=0)] = 0
    """Threads that read clips; 0 reads in the training thread."""
    cache: bool = False
    """Keep decoded clips in memory: for small datasets."""
    class_weights: Literal["balanced"] | Annotated[list[Rate], Field(min_length=1)] | None = None
    """What the loss to the labels weighs the classes with in training: `balanced`, or a number for
    each class; none: all alike."""
    skip_missing: bool = False
    """Leave out listed clips whose files do not exist; false: they are mistakes of the list."""
    label_flip: LabelFlip = "allowed"
    """Whether a mirrored clip keeps its label: `allowed` (it does), `forbidden` (it must not
    be mirrored), or the pairs of classes, by name or number, that mirroring swaps."""

    def files(self, split: Split) -> SplitFiles | None:
        """The list and data folder of a split; None where there is no such split."""
        listed: ListFile | None = getattr(self, split)
        if listed is None:
            return None
        root = Path(self.root)
        return SplitFiles(
            root / listed.file_path,
            root / listed.data_prefix,
            listed.format,
            listed.suffix,
            listed.labelled,
        )
