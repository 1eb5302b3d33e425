"""`python -m train.data.prepare NAME --root DIR`: lists, labels and classes of a public dataset.

Below DIR, `annotations/` holds the official annotation files and `videos/` the videos, at any
depth; `--download` brings them there where they are to be had by a plain URL. The lists of all
official splits, the class names and a report of missing and broken videos go to `lists/`.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from infer.command.parser import Parser
from infer.command.runner import command, run_and_exit
from infer.system.log import logger
from train.config.errors import unknown_name
from train.config.options import add_plugins
from train.data.prepare.annotation_files import AnnotationError
from train.data.prepare.formats import Plan
from train.data.prepare.media import Work
from train.data.prepare.obtain import manual_steps, obtain
from train.data.prepare.report import (
    REPORT,
    SplitReport,
    config_block,
    split_table,
    write_annotated_lists,
)
from train.data.prepare.sources import ANNOTATIONS, VIDEOS, PrepareError, PublicDataset
from train.data.prepare.videos import process, videos_by_key
from train.plugins.load import load_plugins
from train.plugins.registry import DATASETS

log = logger("train.data.prepare")

EXIT_DONE, EXIT_INCOMPLETE = 0, 1


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = Parser(
        prog="python -m train.data.prepare",
        description="Make lists of a public dataset from its official annotation files.",
    )
    add = parser.add_argument
    names = ", ".join(sorted(DATASETS))
    add("name", metavar="NAME", help=f"the dataset: {names}, or one of --plugins")
    add_plugins(parser, "that registers a dataset")
    add("--root", type=Path, required=True, metavar="DIR", help="folder of the dataset")
    add("--download", action="store_true", help="fetch what is missing, where plain URLs exist")
    add("--keep-archives", action="store_true", help="do not delete archives once unpacked")
    add("--annotations", type=Path, metavar="DIR", help="default: ROOT/annotations")
    add("--videos", type=Path, metavar="DIR", help="default: ROOT/videos")
    add(
        "--out",
        "--output",
        type=Path,
        metavar="DIR",
        help="where the lists go; default: ROOT/lists",
    )
    add("--check", choices=("none", "quick", "full"), default="quick", help="what a video must do "
        "to be listed: exist, give a first frame (default), or decode as a whole")  # fmt: skip
    add("--short-side", type=int, metavar="N", help="make smaller copies: shorter side N pixels")
    add("--frames", action="store_true", help="make JPEG frames, of the size of --short-side")
    add("--workers", type=int, help="processes (default: one a core)")
    return parser


@command(stopped="the same command goes on where it was", extra="train", information="stdout")
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command.

    Returns:
        0 done, 1 lists were written but videos are missing or broken, 2 nothing could be done.
    """
    options = parser().parse_args(arguments)
    reports = prepare(options)
    incomplete = any(report.missing or report.broken for report in reports.values())
    return EXIT_INCOMPLETE if incomplete else EXIT_DONE


def prepare(options: argparse.Namespace) -> dict[str, SplitReport]:
    """Download if asked, read the annotations, look at the videos, write the lists."""
    load_plugins(options.plugins)
    if options.name not in DATASETS:
        raise PrepareError(unknown_name("dataset", options.name, DATASETS))
    dataset, root = DATASETS[options.name], options.root
    annotations = options.annotations or root / ANNOTATIONS
    videos = options.videos or root / VIDEOS
    out = options.out or root / "lists"
    for name, value, least in (
        ("--short-side", options.short_side, 16),
        ("--workers", options.workers, 1),
    ):
        if value is not None and value < least:
            raise PrepareError(f"{name} is {value}, allowed: {least} or more")
    if dataset.frames and (options.frames or options.short_side):
        raise PrepareError(
            f"{dataset.title} comes as frames already; leave --frames and --short-side out"
        )
    log.info(f"{dataset.title} ({dataset.home})\nlicence: {dataset.licence}")
    if options.download:
        obtain(dataset, root, keep_archives=options.keep_archives)
    plan = _read(dataset, annotations, root)
    for split in plan.absent:
        log.info(f"note: the {split} split is left out, its annotation file is not there")
    found = videos_by_key(
        videos, pictures=dataset.frames is not None, replaced_by=dataset.replaced_by
    )
    wanted = [entry.key for entries in plan.splits.values() for entry in entries]
    paths = sorted({found[key] for key in wanted if key in found})
    if not paths:
        raise PrepareError(
            f"{videos} holds none of the {len(wanted):,} videos.\n{manual_steps(dataset, root)}"
        )
    work = Work(
        videos=str(videos),
        check=options.check,
        short_side=options.short_side,
        frames=str(root / "frames") if options.frames else None,
        smaller=str(root / f"videos_{options.short_side}")
        if options.short_side and not options.frames
        else None,
        pictures=dataset.frames,
    )
    outcomes = process(paths, work, out / "journal.jsonl", workers=options.workers)
    frames = bool(options.frames or dataset.frames)
    reports = write_annotated_lists(out, plan, found, outcomes, frames=frames)
    log.info(split_table(reports))
    log.info(_advice(dataset, reports, work, root, out))
    return reports


def _read(dataset: PublicDataset, annotations: Path, root: Path) -> Plan:
    if not annotations.is_dir():
        raise PrepareError(f"there is no {annotations}.\n{manual_steps(dataset, root)}")
    try:
        return dataset.read(annotations)
    except AnnotationError as error:
        raise PrepareError(f"{error}\n{manual_steps(dataset, root)}") from error


def _advice(
    dataset: PublicDataset, reports: Mapping[str, SplitReport], work: Work, root: Path, out: Path
) -> str:
    """Where the result is, and the block that a config needs of it."""
    block = config_block(
        reports,
        root=root,
        out=out,
        videos=Path(work.frames or work.smaller or work.videos),
        format="FrameDataset" if work.frames or dataset.frames else "VideoDataset",
        suffix=dataset.frames or "",
    )
    return f"lists, classes.txt and {REPORT}: {out}\nin a config:\n\n{block}"


if __name__ == "__main__":
    run_and_exit(main)
