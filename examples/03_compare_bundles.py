"""Compare two bundles on labelled videos: which videos does only one of them classify correctly?

    python examples/03_compare_bundles.py bundles/baseline bundles/dml data/motions/test.list

A list has one `path label` per line; the paths start from the folder of the list. For intervals and
a verdict on each deployment use `python -m benchmarks.gain`. Needs only what `pip install .`
installs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import clipduet


def read_list(file: Path) -> tuple[list[Path], list[int]]:
    """Paths and labels of a list."""
    lines = [line.rsplit(maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines()]
    wrong = [" ".join(line) for line in lines if len(line) != 2 or not line[1].isdigit()]
    if wrong or not lines:
        raise SystemExit(f"error: {file}: no lines of `path label`: {wrong[:3]}")
    return [file.parent / path for path, _ in lines], [int(label) for _, label in lines]


def answers(bundle: str, videos: list[Path]) -> list[int | None]:
    """Index of the best class for each video; None where it cannot be read."""
    with clipduet.load(bundle) as model:
        found = model.predict(videos, top_k=1, batch_size=8)
        return [one.topk[0].index if one.topk else None for one in found]


def main() -> None:
    """Print the accuracy of both bundles, and the videos on which they differ."""
    parser = argparse.ArgumentParser(description="Compare two bundles on labelled videos.")
    parser.add_argument("first", help="folder of a bundle")
    parser.add_argument("second", help="folder of another one with the same classes")
    parser.add_argument("list", type=Path, help="file of `path label` lines")
    options = parser.parse_args()

    videos, labels = read_list(options.list)
    names = (options.first, options.second)
    # A video that cannot be read has the answer None: it counts as wrong.
    given = [answers(name, videos) for name in names]
    right = [[a == label for a, label in zip(one, labels, strict=True)] for one in given]
    for name, one in zip(names, right, strict=True):
        print(f"{name}: {sum(one)} of {len(labels)} correct, top-1 {sum(one) / len(labels):.4f}")
    if None in given[0]:
        print(f"{given[0].count(None)} of {len(videos)} videos cannot be read, such as "
              f"{videos[given[0].index(None)]}")  # fmt: skip
    for video, *pair in zip(videos, *right, strict=True):
        if pair[0] != pair[1]:
            print(f"{video}: only {names[pair.index(True)]} is right")


if __name__ == "__main__":
    try:
        main()
    except (clipduet.ClipDuetError, OSError) as error:
        raise SystemExit(f"error: {error}") from None
