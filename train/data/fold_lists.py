"""The lists of folds as files: `folds.json`, and `N/train.list`, `N/val.list`, `N/test.list`.

`folds.json` names every clip with its label, its group and the fold that tests it, and the SHA-256
of every list. What was trained on folds stays comparable only while they stay: other folds are
never written over them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from infer.system.errors import listed, os_reason
from infer.system.files import sha256_of, write_text
from infer.system.limited_files import read_text
from infer.system.log import logger
from train.config.schema.common import Split
from train.data.clip_set import ClipSet
from train.data.dataset_block import yaml_text
from train.data.folds import VAL_SHARE, FoldsError, make_folds
from train.data.groups import AUTO, find_groups
from train.data.lists import LIST_NAMES, Sample, read_list, write_lines

if TYPE_CHECKING:
    from train.data.near_duplicates import Bits

log = logger(__name__)

FILE = "folds.json"
FORMAT, FORMAT_VERSION = "clipduet-folds", 1
MOST_BYTES = 2**28
MOST = 20
"""Pairs of near-duplicates that a message names; the file names all."""


@dataclass(frozen=True)
class FoldLists:
    """Folds on disk: their file, and what it says."""

    file: Path
    record: Mapping[str, Any]

    @property
    def number(self) -> int:
        """How many folds there are."""
        return int(self.record["folds"])

    @property
    def root(self) -> Path:
        """Folder that the lists' paths start from."""
        return Path(self.record["root"])

    @property
    def groups(self) -> list[str]:
        """The group of each clip."""
        return list(self.record["clips"]["groups"])

    def tested(self, fold: int) -> npt.NDArray[np.int64]:
        """The places of the clips that a fold tests, in the order of its test list."""
        return np.flatnonzero(np.asarray(self.record["clips"]["fold"]) == fold)

    def list_file(self, fold: int, split: Split) -> Path:
        """A list of a fold, from 1."""
        return self.file.parent / self.record["lists"][fold - 1][split]["file"]

    def overrides(self, fold: int) -> list[str]:
        """What changes in a config, so that it trains and tests a fold."""
        found = []
        for split in LIST_NAMES:
            block = {
                "format": self.record["list_format"],
                "file_path": str(self.list_file(fold, split).absolute()),
                "data_prefix": str(self.root.absolute()),
                "suffix": self.record["suffix"],
            }
            text = ", ".join(f"{key}: {yaml_text(value)}" for key, value in block.items())
            found.append(f"DATASET.{split}={{{text}}}")
        return found

    def read(self, fold: int, split: Split, *, num_classes: int | None = None) -> list[Sample]:
        """The clips of a list of a fold."""
        return read_list(
            self.list_file(fold, split),
            root=self.root,
            format=self.record["list_format"],
            num_classes=num_classes,
            suffix=self.record["suffix"],
        )

    def samples(self, *, num_classes: int | None = None) -> list[Sample]:
        """All clips in their order."""
        found: dict[int, Sample] = {}
        for fold in range(1, self.number + 1):
            given = self.read(fold, "test", num_classes=num_classes)
            found |= zip(map(int, self.tested(fold)), given, strict=True)
        return [found[place] for place in sorted(found)]


def write_folds(
    folder: Path,
    clips: ClipSet,
    *,
    folds: int,
    seed: int = 0,
    val_share: float = VAL_SHARE,
    groups: str = AUTO,
    join_duplicates: bool = False,
) -> FoldLists:
    """Split clips into folds and write their lists, unless the same are there.

    With `join_duplicates` the groups of clips that look the same become one, before they are split.

    Raises:
        FoldsError: they cannot be split so, or other folds are there.
        GroupsError: the groups cannot be found.
    """
    from train.data.near_duplicates import joined_groups, near_duplicates

    of, how = find_groups(clips.paths, clips.root, groups)
    hashed = _hashes(clips) if join_duplicates else None
    if hashed is not None:
        of = joined_groups(of, near_duplicates(*hashed))
        how = f"{how}, near-duplicates joined"
    made = make_folds(clips.labels, of, folds=folds, seed=seed, val_share=val_share)
    fold = np.zeros(len(clips.paths), np.int64)
    lists = []
    for number, one in enumerate(made, start=1):
        fold[one.test] = number
        entry: dict[str, Any] = {"fold": number}
        for split, name in LIST_NAMES.items():
            places = getattr(one, split)
            lines = clips.lines(places)
            entry[split] = {"file": f"{number}/{name}.list", "clips": len(places), "lines": lines}
        lists.append(entry)
    record: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "folds": folds,
        "seed": seed,
        "val_share": val_share,
        "groups": how,
        "root": str(clips.root),
        "list_format": clips.format,
        "suffix": clips.suffix,
        "clips": {
            "paths": list(clips.paths),
            "labels": list(clips.labels),
            "groups": of,
            "fold": fold.tolist(),
        },
    }
    file = folder / FILE
    if file.exists():
        there = read_folds(file)
        other = [key for key, value in record.items() if there.record.get(key) != value]
        if other:
            raise FoldsError(
                f"{file} holds other folds ({', '.join(other)} differ), and what was trained on "
                "them would be mixed with these: choose another folder with --runs, or remove it"
            )
        return there
    for entry in lists:
        for split in LIST_NAMES:
            part = entry[split]
            write_lines(folder / part["file"], part.pop("lines"))
            part["sha256"] = sha256_of(folder / part["file"])
    record["lists"] = lists
    record["near_duplicates"] = _near_duplicates(record, file, *(hashed or _hashes(clips)))
    write_text(file, json.dumps(record, indent=1, ensure_ascii=False) + "\n")
    return FoldLists(file, record)


def _hashes(clips: ClipSet) -> tuple[Bits, Bits]:
    """As `hash_clips`."""
    from train.data.near_duplicates import hash_clips

    frames = clips.format == "FrameDataset"
    added = "" if frames else clips.suffix
    samples = [
        Sample(clips.root / f"{path}{added}", label, clips.frames[i] if clips.frames else None, i)
        for i, (path, label) in enumerate(zip(clips.paths, clips.labels, strict=True))
    ]
    return hash_clips(samples, suffix=clips.suffix if frames else "")


def _near_duplicates(
    record: Mapping[str, Any], file: Path, bits: Bits, read: Bits
) -> dict[str, Any]:
    """Clips of different folds that look the same, by name; told as a warning too.

    Whoever finds copies among them gives these one group: what tests one clip then trains none of
    its copies.
    """
    from train.data.near_duplicates import THRESHOLD, near_duplicates

    clips = record["clips"]
    pairs: list[dict[str, Any]] = [
        {
            "clips": [clips["paths"][one.first], clips["paths"][one.second]],
            "folds": [clips["fold"][one.first], clips["fold"][one.second]],
            "distance": round(one.distance, 4),
        }
        for one in near_duplicates(bits, read, apart=clips["fold"])
    ]
    if pairs:
        shown = [f"{' and '.join(pair['clips'])} ({pair['distance']:.3f})" for pair in pairs[:MOST]]
        more = [f"and {len(pairs) - MOST} more, in {file}"] if pairs[MOST:] else []
        head = (
            f"{len(pairs)} pairs of clips in different folds look the same; give copies one group "
            "(--groups, or --join-duplicates):"
        )
        log.warning("\n  ".join([head, *shown, *more]))
    return {"threshold": THRESHOLD, "pairs": pairs}


def read_folds(file: Path) -> FoldLists:
    """Read `folds.json`; its lists must be those that it was written with.

    Raises:
        FoldsError: it is missing, damaged or of another format, or a list was changed.
    """
    try:
        record = json.loads(read_text(file, most=MOST_BYTES))
        if record["format"] != FORMAT or record["format_version"] != FORMAT_VERSION:
            raise FoldsError(f"{file} is no {FORMAT} file of version {FORMAT_VERSION}")
        found = FoldLists(file, record)
        changed = [
            str(found.list_file(entry["fold"], split))
            for entry in record["lists"]
            for split in LIST_NAMES
            if _sha256(found.list_file(entry["fold"], split)) != entry[split]["sha256"]
        ]
        if not len(record["lists"]) == found.number == len(set(record["clips"]["fold"])):
            raise FoldsError(f"{file} does not hold the lists of every fold")
    except OSError as error:
        raise FoldsError(f"{file} cannot be read: {os_reason(error)}") from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FoldsError(f"{file} is damaged: {error!r}") from error
    if changed:
        raise FoldsError(listed(f"lists that are not those of {file} any more", changed))
    return found


def _sha256(file: Path) -> str | None:
    return sha256_of(file) if file.is_file() else None
