"""Lists from folders: a tree of class folders becomes train, val and test lists.

    python -m train.data.folders --root clips --out clips/lists

Two layouts are understood: `class/clip.mp4` and `scene/class/clip.mp4`, a scene being what
clips of several classes have in common, such as a camera. Clips are split class by class in
the order of the SHA-256 of their bytes: the same files give the same lists on every machine, and
copies of one file never stand in two lists. `--val-scene` and `--test-scene` hold out whole
scenes instead, which tells how the network does at a place it has never seen.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tqdm import tqdm

from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.errors import listed
from infer.system.files import sha256_of
from infer.system.terminal import can_redraw
from train.config.class_file import class_lines
from train.data.class_folders import (
    Clip,
    FoldersError,
    about_no_class,
    can_hold,
    find_clips,
    no_class,
)
from train.data.dataset_block import block_of_videos
from train.data.lists import LIST_NAMES, write_lines


def digest_clips(root: Path, clips: Sequence[Clip], *, workers: int = 4) -> dict[str, str]:
    """SHA-256 of every clip by its path."""

    def digest(clip: Clip) -> str:
        return sha256_of(root / clip.path)

    with ThreadPoolExecutor(workers) as pool:
        digests = tqdm(
            pool.map(digest, clips),
            total=len(clips),
            desc="checksums",
            unit="clip",
            disable=not can_redraw(sys.stderr),
        )
        return {clip.path: value for clip, value in zip(clips, digests, strict=True)}


def split_clips(
    clips: Sequence[Clip],
    digests: Mapping[str, str],
    *,
    val_share: float = 0.15,
    test_share: float = 0.15,
    val_scenes: Sequence[str] = (),
    test_scenes: Sequence[str] = (),
) -> dict[str, list[Clip]]:
    """Split the clips into train, val and test.

    Args:
        clips: what `find_clips` found.
        digests: what `digest_clips` computed.
        val_share: share of each class's different files that goes there: rounded, at least one
            where the class has three or more, never the last one left for training.
        test_share: the same for test.
        val_scenes: scenes that go there as a whole; `val_share` then takes nothing more.
        test_scenes: the same for test.

    Raises:
        FoldersError: shares out of range, scenes that are not there or in two splits, one file
            under two classes or in a held-out scene and outside it, a class that is not trained.
    """
    shares = {"val": val_share, "test": test_share}
    held = {"val": tuple(val_scenes), "test": tuple(test_scenes)}
    problems = _request_problems(clips, shares, held)
    splits: dict[str, str] = {}
    if not problems:
        splits = {scene: split for split, names in held.items() for scene in names}
        problems = _copy_problems(clips, digests, splits)
    if problems:
        raise FoldersError(listed("the clips cannot be split", problems))
    free: dict[str, dict[str, list[Clip]]] = defaultdict(lambda: defaultdict(list))
    parts: dict[str, list[Clip]] = {split: [] for split in LIST_NAMES.values()}
    for clip in clips:
        if clip.scene in splits:
            parts[splits[clip.scene]].append(clip)
        else:
            free[clip.label][digests[clip.path]].append(clip)
    for files in free.values():
        order = sorted(files)
        test = 0 if held["test"] else _count(len(order), test_share, spare=len(order) - 1)
        val = 0 if held["val"] else _count(len(order), val_share, spare=len(order) - 1 - test)
        for index, digest in enumerate(order):
            split = "test" if index < test else "val" if index < test + val else "train"
            parts[split] += files[digest]
    trained = {clip.label for clip in parts["train"]}
    missing = sorted({clip.label for clip in clips} - trained)
    if missing:
        what = "classes without a clip left for training; hold out fewer scenes"
        raise FoldersError(listed(what, missing))
    return {split: sorted(part, key=lambda clip: clip.path) for split, part in parts.items()}


def write_lists(
    out: Path, splits: Mapping[str, Sequence[Clip]], *, overwrite: bool = False
) -> list[str]:
    """Write `classes.txt` and a list for every split that has clips; returns the class names.

    Raises:
        FoldersError: lists of other content are there, and `overwrite` is off.
    """
    classes = sorted({clip.label for part in splits.values() for clip in part})
    labels = {name: index for index, name in enumerate(classes)}
    lines = {out / "classes.txt": class_lines(classes)}
    for split, part in splits.items():
        lines[out / f"{split}.list"] = [f"{clip.path} {labels[clip.label]}" for clip in part]
    other = [
        file.name for file, wanted in lines.items() if file.exists() and _lines(file) != wanted
    ]
    if other and not overwrite:
        raise FoldersError(
            f"{out} holds {', '.join(other)} with other lines: --overwrite replaces them, or "
            "choose another --out"
        )
    for file, wanted in lines.items():
        if wanted:
            write_lines(file, wanted)
        else:
            # A list of an earlier run would belong to other settings.
            file.unlink(missing_ok=True)
    return classes


def _lines(file: Path) -> list[str] | None:
    """Lines of a text file; None of one that is no text in UTF-8, which no list here is."""
    try:
        return file.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return None


def _count(files: int, share: float, *, spare: int) -> int:
    least = 1 if share > 0 and files >= 3 else 0
    return min(max(round(files * share), least), spare)


def _request_problems(
    clips: Sequence[Clip], shares: Mapping[str, float], held: Mapping[str, Sequence[str]]
) -> list[str]:
    problems = [
        f"--{split}-share is {share:g}, allowed: 0 or more, below 1"
        for split, share in shares.items()
        if not 0 <= share < 1
    ]
    asked = sum(share for split, share in shares.items() if not held[split])
    if not problems and asked >= 1:
        problems.append(f"the shares add up to {asked:g}: nothing is left for training")
    scenes = sorted({clip.scene for clip in clips} - {""})
    for split, names in held.items():
        for name in names:
            if name not in scenes:
                there = f"there are {', '.join(scenes)}" if scenes else "the tree has no scenes"
                problems.append(f"--{split}-scene {name}: no such scene; {there}")
    both = sorted(set(held["val"]) & set(held["test"]))
    return problems + [f"scene {name} cannot go to val and to test" for name in both]


def _copy_problems(
    clips: Sequence[Clip], digests: Mapping[str, str], splits: Mapping[str, str]
) -> list[str]:
    """Copies of one file that would teach two labels, or stand in two lists."""
    copies: dict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        copies[digests[clip.path]].append(clip)
    problems = []
    for same in copies.values():
        names = " = ".join(clip.path for clip in same)
        if len({clip.label for clip in same}) > 1:
            problems.append(f"one file under two classes, delete the wrong one: {names}")
        elif len({splits.get(clip.scene, "") for clip in same}) > 1:
            problems.append(f"one file in a held-out scene and outside it, delete one: {names}")
    return problems


def _table(splits: Mapping[str, Sequence[Clip]], classes: Sequence[str]) -> str:
    width = max(len(name) for name in (*classes, "class", "all"))

    def row(name: str, *cells: object) -> str:
        return " ".join([f"{name:<{width}}", *(f"{cell:>7}" for cell in cells)])

    counts = {
        name: [sum(clip.label == name for clip in part) for part in splits.values()]
        for name in classes
    }
    rows = [row(name, *cells) for name, cells in counts.items()]
    return "\n".join([row("class", *splits), *rows, row("all", *map(len, splits.values()))])


@command(extra="train")
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0 done, 2 the tree cannot be split as asked."""
    parser = Parser(
        prog="python -m train.data.folders",
        description="Write train.list, val.list, test.list and classes.txt for a tree of clips.",
    )
    parser.add_argument("--root", type=Path, required=True, help="folder of class folders")
    parser.add_argument(
        "--out", "--output", type=Path, required=True, help="folder to write the lists to"
    )
    parser.add_argument("--val-share", type=float, default=0.15, help="of each class (0.15)")
    parser.add_argument("--test-share", type=float, default=0.15, help="of each class (0.15)")
    for split in ("val", "test"):
        parser.add_argument(
            f"--{split}-scene",
            action="append",
            default=[],
            metavar="SCENE",
            help=f"scene that goes to {split} as a whole; may be repeated",
        )
    parser.add_argument("--overwrite", action="store_true", help="replace lists of other content")
    chosen = parser.parse_args(arguments)
    can_hold(chosen.out)
    found = find_clips(chosen.root)
    clips = [clip for clip in found if (chosen.root / clip.path).is_file()]
    gone = [clip.path for clip in found if not (chosen.root / clip.path).is_file()]
    if not clips:
        raise FoldersError(listed(f"{chosen.root} holds only links that lead to no file", gone))
    if gone:
        print(listed("warning: links that lead to no file are in no list", gone, most=10))
    for line in about_no_class(no_class(chosen.root, found, clips, out=chosen.out)):
        print(line)
    splits = split_clips(
        clips,
        digest_clips(chosen.root, clips),
        val_share=chosen.val_share,
        test_share=chosen.test_share,
        val_scenes=chosen.val_scene,
        test_scenes=chosen.test_scene,
    )
    classes = write_lists(chosen.out, splits, overwrite=chosen.overwrite)
    print(_table(splits, classes))
    for split in [name for name, part in splits.items() if not part]:
        print(
            f"no clip went to {split}, so there is no {split}.list: a class gives one with three "
            f"different files and --{split}-share above 0, or --{split}-scene SCENE"
        )
    print(f"wrote {chosen.out}: paths are relative to {chosen.root}; in a config:\n")
    written = [split for split, part in splits.items() if part]
    print("\n".join(block_of_videos(chosen.root, chosen.out, written)))
    return 0


if __name__ == "__main__":
    run_and_exit(main)
