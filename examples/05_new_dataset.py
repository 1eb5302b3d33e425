"""Prepare a dataset with annotations of its own: check the videos, write the lists of clips.

    python examples/05_new_dataset.py videos/annotations.csv data/mine

The CSV file lies beside the videos and has the columns file, class and split (train or valid); for
another format change `read_annotations`. The printed block goes into a config.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import yaml

from infer.system.errors import ClipDuetError, VideoError
from train.data.first_frame import check_first_frame
from train.data.lists import read_list, write_lines


def read_annotations(file: Path) -> list[tuple[str, str, str]]:
    """Path below the root, class name and split of each video."""
    with file.open(newline="", encoding="utf-8") as opened:
        return [(row["file"], row["class"], row["split"]) for row in csv.DictReader(opened)]


def main() -> None:
    """Write train.list, valid.list and classes.txt."""
    parser = argparse.ArgumentParser(description="Prepare a dataset with its own annotations.")
    parser.add_argument("annotations", type=Path, help="CSV file: file, class, split")
    parser.add_argument("out", type=Path, help="folder for the lists")
    options = parser.parse_args()

    rows = read_annotations(options.annotations)
    root, out = options.annotations.resolve().parent, options.out.resolve()
    classes = sorted({name for _, name, _ in rows})
    lines: dict[str, list[str]] = {"train": [], "valid": []}
    for path, name, split in rows:
        try:
            check_first_frame(root / path)
            lines[split].append(f"{path} {classes.index(name)}")
        except VideoError as error:
            print(f"left out: {error}")

    write_lines(out / "classes.txt", classes)
    dataset: dict[str, object] = {"root": str(root), "classes": str(out / "classes.txt")}
    for split, listed in lines.items():
        file = out / f"{split}.list"
        write_lines(file, listed)
        dataset[split] = {"format": "VideoDataset", "file_path": str(file)}
        print(f"{file}: {len(read_list(file, root=root))} clips of {len(classes)} classes")
    print(yaml.safe_dump({"DATASET": dataset}, sort_keys=False))


if __name__ == "__main__":
    try:
        main()
    except KeyError as error:
        raise SystemExit(f"error: unknown column or split: {error}") from None
    except (ClipDuetError, OSError) as error:
        raise SystemExit(f"error: {error}") from None
