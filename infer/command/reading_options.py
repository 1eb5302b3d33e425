"""Options of a command for the videos that it reads: limits, and isolation."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from ..containers.limits import LIMITS, Limits
from ..system.errors import ClipDuetError
from ..system.hardware import LARGEST_LIMIT
from .option_values import above_zero, from_one, whole

if TYPE_CHECKING:
    from ..pipeline.predictions import Load


def add_limit_options(parser: argparse.ArgumentParser, limits: Limits = LIMITS) -> None:
    """Add the limits of videos to a command's parser; `limits` are the defaults."""
    for name, kind, what in (
        ("pixels", from_one, "pixels of a frame, width times height"),
        ("frames", from_one, "frames of a video"),
        ("seconds", above_zero, "seconds of a video, by its time stamps"),
        ("bytes", from_one, "bytes of a video's file"),
    ):
        most = getattr(limits, name)
        parser.add_argument(
            f"--max-{name}",
            type=kind,
            default=most,
            metavar="N",
            help=f"{what}, at most; more is an error (default: {most:,})",
        )


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add limits and isolation to a command's parser."""
    add_limit_options(parser)
    add = parser.add_argument
    add(
        "--isolate",
        action="store_true",
        help="read videos in processes of their own: a video that crashes or hangs the decoder, or "
        "takes too much memory, is one error, and the others are answered",
    )
    add(
        "--read-timeout",
        type=above_zero,
        metavar="SECONDS",
        help="with --isolate: seconds that the reading of a video may take (default: 600)",
    )
    add(
        "--read-memory",
        type=whole(1, int(LARGEST_LIMIT)),
        metavar="MIB",
        help="with --isolate: MiB of memory that the reading of a video may take (default: 2048)",
    )


def limits_of(args: argparse.Namespace) -> Limits:
    """The limits that a command line asks for."""
    return Limits(**{one.name: getattr(args, f"max_{one.name}") for one in fields(Limits)})


def isolation_of(args: argparse.Namespace) -> tuple[float, int]:
    """Seconds, and bytes of memory, that the reading of a video may take with `--isolate`."""
    from ..isolation.reading import MEMORY, SECONDS

    memory = args.read_memory << 20 if args.read_memory else MEMORY
    return args.read_timeout or SECONDS, memory


def check_reading_options(args: argparse.Namespace) -> None:
    """Raises ClipDuetError where an option is given without the one that it belongs to."""
    for name in ("read_timeout", "read_memory"):
        if getattr(args, name) is not None and not args.isolate:
            raise ClipDuetError(f"--{name.replace('_', '-')} needs --isolate")


@contextmanager
def reader(
    args: argparse.Namespace,
    workers: int,
    frames: Mapping[Path, int] | None = None,
    *,
    threads: int = 1,
) -> Iterator[Load]:
    """What reads a video as the command line asks for it, for `predict_videos`.

    Args:
        args: parsed options.
        workers: videos that are read at once.
        frames: of folders, as a list has them.
        threads: that decode one video, in this process.

    Raises:
        ClipDuetError: no process can be started.
    """
    limits = limits_of(args)
    claimed = frames or {}
    if not args.isolate:
        from ..clips.preprocess import load_clips

        yield lambda path, spec: load_clips(
            path, spec, frames=claimed.get(path), limits=limits, threads=threads
        )
        return
    from ..isolation.reading import IsolatedReading

    seconds, memory = isolation_of(args)
    with IsolatedReading(workers, limits=limits, seconds=seconds, memory=memory) as reading:
        yield lambda path, spec: reading.load(path, spec, frames=claimed.get(path))
