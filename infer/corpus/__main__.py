"""Classify more videos than one machine can, on Ray: `clipduet corpus --video DIR --output DIR`.

Exit status: 0 done; 1 some inputs have an error, or Ray gave up; 2 wrong use; 130 interrupted, 143
ended by SIGTERM, 129 by SIGHUP.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..command.parser import Parser
from ..command.runner import command, run_and_exit, told_when_stopped
from ..system.log import logger

if TYPE_CHECKING:
    from ..bundle.bundle import Bundle
    from .network import NetworkSettings
    from .parts import Parts
    from .reading import ReadSettings
    from .sources import Source

log = logger("infer.corpus")

PROG = f"python -m {__package__}"


@command(extra="corpus")
def main(argv: Sequence[str] | None = None, *, prog: str = PROG) -> int:
    """The command line, which calls itself `prog`; returns the exit status."""
    args = _parser(prog).parse_args(argv)
    from importlib.util import find_spec

    from ..command.named_bundle import about_decoder, load_bundle
    from ..command.reading_options import check_reading_options
    from ..system.abandoned import abandon_threads_of
    from ..system.errors import ClipDuetError
    from .parts import Parts

    # Ray itself is imported where it starts: it reads its environment then.
    for package in ("fsspec", "pyarrow", "ray"):
        if find_spec(package) is None:
            raise ModuleNotFoundError(name=package)
    abandon_threads_of("pyarrow")
    check_reading_options(args)
    for option in ("backend", "precision"):
        if getattr(args, option) == "auto":
            raise ClipDuetError(
                f"--{option} auto may be another one on each machine: name one, which "
                "`clipduet doctor` lists"
            )
    source = _source(args)
    for note in source.notes:
        log.info(f"note: {note}")
    bundle = load_bundle(args.bundle)
    about_decoder(bundle)
    with (
        told_when_stopped(lambda: f"{args.output} keeps the answers; the same command goes on"),
        Parts(args.output, args.format, seconds=args.flush) as parts,
    ):
        total, failed = _run(args, source, bundle, parts)
    log.info(f"{total:,} answers are in {args.output}, {failed:,} of them errors")
    return 1 if failed else 0


def _run(args: argparse.Namespace, source: Source, bundle: Bundle, parts: Parts) -> tuple[int, int]:
    """Answer what is not answered; how many answers there are to these inputs, and errors."""
    from ..pipeline.predictions import Prediction
    from ..system.terminal import counted
    from .cluster import Requested, cluster
    from .parts import row_of
    from .progress import Progress
    from .run import answer

    reading, network = _settings(args, bundle)
    parts.agree(_about(args, reading, network))
    done = parts.done()
    names = {*source.names, *source.problems}
    before = len(names & done.names)
    failed = len(names & done.failed)
    if before:
        log.info(f"note: {before:,} of {len(names):,} videos were answered before")
    for name, why in source.problems.items():
        if name not in done.names:
            parts.add([row_of(name, Prediction(Path(name), (), 0.0, why), network.sha256)])
            failed += 1
            before += 1
    if before < len(names):
        progress = Progress(before, len(names))
        asked = Requested(
            args.address, args.decoders, args.actors, args.threads, args.gpus, args.batch_size
        )
        try:
            with cluster(asked) as workers:
                log.info(
                    f"{counted(len(names) - before, 'video')}: "
                    f"{counted(workers.decoders, 'decoder')}, {counted(workers.actors, 'actor')}"
                )
                failed += answer(source, done.names, parts, reading, network, workers, progress)
        finally:
            progress.clear()
        log.info(f"{progress.speed:.2f} clips/s")
    return len(names), failed


def _source(args: argparse.Namespace) -> Source:
    from ..system.errors import ClipDuetError
    from .sources import named_videos, parquet_rows

    root = Path(args.root) if args.root else None
    if args.parquet:
        if args.video or args.list:
            raise ClipDuetError("--parquet stands alone, without --video and --list")
        return parquet_rows(args.parquet, args.column, args.name_column, root)
    if not args.video and not args.list:
        raise ClipDuetError("nothing to classify: name videos with --video, --list or --parquet")
    return named_videos(args.video, args.list, root)


def _settings(args: argparse.Namespace, bundle: Bundle) -> tuple[ReadSettings, NetworkSettings]:
    from ..bundle.bundle import BUNDLE_JSON
    from ..command.reading_options import isolation_of, limits_of
    from ..command.score_options import temperature_for
    from ..system.files import sha256_of
    from .network import NetworkSettings
    from .reading import ReadSettings, usual_block

    spec = bundle.spec.with_views(args.num_clips)
    seconds, memory = isolation_of(args)
    reading = ReadSettings(
        spec,
        limits_of(args),
        args.isolate,
        seconds=seconds,
        memory=memory,
        block=args.block or usual_block(spec),
    )
    network = NetworkSettings(
        bundle=os.path.abspath(bundle.root),
        sha256=sha256_of(bundle.root / BUNDLE_JSON),
        spec=spec,
        backend=args.backend,
        precision=args.precision,
        threads=args.threads,
        max_batch=args.max_batch,
        top_k=args.top_k,
        temperature=temperature_for(args, bundle),
    )
    return reading, network


def _about(
    args: argparse.Namespace, reading: ReadSettings, network: NetworkSettings
) -> dict[str, Any]:
    """What an answer depends on beside its video, by names for people."""
    from dataclasses import asdict

    return {
        "bundle": network.sha256,
        "backend": network.backend,
        "precision": network.precision,
        "number of answers (--top-k)": network.top_k,
        "number of clips": reading.spec.sampling.views,
        "limit of videos": asdict(reading.limits),
        "temperature of scores (--calibrated)": network.temperature,
        "format": args.format,
    }


def _parser(prog: str) -> argparse.ArgumentParser:
    from ..command.option_values import above_zero, from_one
    from ..command.reading_options import add_reading_options
    from ..command.score_options import add_calibrated
    from ..runtimes.registry import BACKENDS
    from .cluster import MOST_ACTORS
    from .parts import FORMATS

    parser = Parser(
        prog=prog,
        description="Classify more videos than one machine can, on Ray Data. The answers go into "
        "a folder, one row for every input; a run that was stopped or killed goes on with the same "
        "command, and what is written is not done again.",
        epilog="Exit status: 0 done, 1 some inputs failed, 2 wrong use; 128 more than the number "
        "of a signal that ended it.",
    )
    add = parser.add_argument
    add("--video", nargs="+", action="extend", default=[], metavar="PATH", help="files, folders, "
        "patterns, @FILE and - as for predict; and addresses of files, folders and patterns, such "
        "as s3://bucket/clips, that fsspec reads")  # fmt: skip
    add("--list", action="append", default=[], metavar="FILE", help="a list of videos as training "
        "reads it; paths or addresses")  # fmt: skip
    add("--parquet", nargs="+", action="extend", default=[], metavar="PATH", help="Parquet files, "
        "folders or patterns of them, on this machine or at addresses")  # fmt: skip
    add("--column", default="path", metavar="NAME", help="with --parquet: the column of paths and "
        "addresses, or of the bytes of video files (default: path)")  # fmt: skip
    add("--name-column", metavar="NAME", help="with --parquet: the column of what rows are called "
        "in the answers (default: the paths)")  # fmt: skip
    add("--root", metavar="DIR", help="folder that the paths in lists and Parquet files start "
        "from (default: the list's; the current one)")  # fmt: skip
    add("--output", "--out", required=True, metavar="DIR", help="the folder of the answers, here "
        "or at an address")  # fmt: skip
    add("--format", choices=FORMATS, default=FORMATS[0], help="of the answers (default: parquet)")
    add("--flush", type=above_zero, default=15.0, metavar="SECONDS", help="answers are written "
        "after so many seconds; a driver that is killed loses no more (default: 15)")  # fmt: skip
    add("--bundle", metavar="DIR", help="the exported bundle, by a path that every machine of the "
        "cluster has (default: bundles/dml)")  # fmt: skip
    add("--precision", default="fp32", help="fp32, int8, ... as the bundle has (default: fp32)")
    add("--backend", default="onnxruntime", metavar="NAME", help=f"{', '.join(BACKENDS)} "
        "(default: onnxruntime)")  # fmt: skip
    add("--address", metavar="ADDRESS", help="of a Ray cluster, such as 10.0.0.1:6379, or auto "
        "(default: Ray is started on this machine)")  # fmt: skip
    add("--decoders", type=from_one, metavar="N", help="tasks that read videos at once, a CPU each "
        "(default: the cores of this machine, or the CPUs that a cluster has left)")  # fmt: skip
    add("--actors", type=from_one, metavar="N", help="networks (default: by --gpus; else the cores "
        f"of this machine, up to {MOST_ACTORS}, or half the CPUs of a cluster)")  # fmt: skip
    add("--threads", type=from_one, default=1, metavar="N", help="CPUs of each network "
        "(default: 1)")  # fmt: skip
    add("--gpus", type=above_zero, default=0.0, metavar="N", help="GPUs of each network, such as "
        "1 or 0.5 (default: 0)")  # fmt: skip
    add("--block", type=from_one, metavar="N", help="videos that a task reads (default: 32, fewer "
        "where their clips have more than 64 MiB)")  # fmt: skip
    add("--batch-size", type=from_one, default=1, metavar="N", help="videos through the network at "
        "once (default: 1)")  # fmt: skip
    add("--max-batch", type=from_one, metavar="N", help="clips through the network at once, at "
        "most (default: as the bundle says)")  # fmt: skip
    add("--top-k", type=from_one, default=5, metavar="K", help="answers a video (default: 5)")
    add_calibrated(parser)
    add("--num-clips", type=from_one, metavar="N", help="moments of a video to take clips at "
        "(default: as the bundle says)")  # fmt: skip
    add_reading_options(parser)
    return parser


if __name__ == "__main__":
    run_and_exit(main)
