"""Classify a long video or a live source, a window at a time: `clipduet stream SOURCE`.

Exit status: 0 done; 1 the source could not be read to its end; 2 wrong use; 130 interrupted, 143
ended by SIGTERM, 129 by SIGHUP, 141 the reader of a pipe went away (as shells count them).
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING

from ..command.parser import Parser
from ..command.runner import command, run_and_exit
from ..system.log import logger

if TYPE_CHECKING:
    from ..api import Model
    from .events import Events
    from .records import Write

PROG = f"python -m {__package__}"
log = logger(PROG.rpartition(" ")[2])


@command(stopped=None)
def main(argv: Sequence[str] | None = None, *, prog: str = PROG) -> int:
    """The command line, which calls itself `prog`; returns the exit status."""
    args = _parser(prog).parse_args(argv)
    from ..system.errors import ClipDuetError

    keep = args.threshold if args.keep_threshold is None else args.keep_threshold
    if keep > args.threshold:
        raise ClipDuetError(
            f"--keep-threshold is {keep:g}; allowed: at most --threshold, {args.threshold:g}"
        )
    from ..api import load
    from ..containers.limits import Limits
    from ..predict import about_decoder, load_bundle
    from .classify import classify
    from .events import EventRules, Events
    from .reader import Counts
    from .source import source_of

    source = source_of(args.source)
    bundle = load_bundle(args.bundle)
    about_decoder(bundle)
    counts = Counts()
    with contextlib.ExitStack() as opened:
        writers = opened.enter_context(_outputs(args))
        model = opened.enter_context(
            load(
                bundle.root,
                backend=args.backend,
                precision=args.precision,
                threads=args.threads,
                device=args.device,
            )
        )
        found = classify(
            model,
            args.source,
            window=args.window,
            stride=args.stride,
            top_k=len(model.classes),
            complete=args.complete,
            max_lag=args.max_lag,
            timeout=args.timeout,
            reconnect=args.reconnect,
            duration=args.duration,
            memory=args.memory << 20,
            limits=Limits(pixels=args.max_pixels),
            counts=counts,
        )
        rules = EventRules(args.threshold, keep, float(args.event_gap), float(args.min_event))
        log.info(f"{source.shown}: windows of {float(args.window):g} s")
        _run(found, writers, Events(rules), model, counts, k=args.top_k)
    return 0


def _run(
    found: Iterator[object],
    writers: Sequence[Write],
    events: Events,
    model: Model,
    counts: object,
    *,
    k: int,
) -> None:
    """Write everything as it happens; however it ends, the last events and a summary too."""
    from dataclasses import replace

    from .classify import WindowPrediction
    from .reader import Counts, Gap
    from .records import event_record, gap_record, summary_record, window_record

    assert isinstance(counts, Counts)
    seen = {"window": 0, "event": 0, "gap": 0}

    def write(record: dict[str, object]) -> None:
        if record["type"] in seen:
            seen[str(record["type"])] += 1
        for one in writers:
            one(record)

    def told(done: Sequence[object]) -> None:
        for event in done:
            write(event_record(event, model.classes))  # type: ignore[arg-type]

    try:
        for item in found:
            if isinstance(item, Gap):
                told(events.finish())
                write(gap_record(item))
                log.warning(f"{float(item.start):.3f} to {float(item.end):.3f} s: {item.reason}")
                continue
            assert isinstance(item, WindowPrediction)
            write(window_record(replace(item, topk=item.topk[:k])))
            scores = {one.index: one.score for one in item.topk}
            told(events.add(item.start, item.end, [scores[n] for n in sorted(scores)]))
    finally:
        # Also after Ctrl-C and where the source went away. A full disk is an error of its own.
        told(events.finish())
        summary = summary_record(
            counts, windows=seen["window"], events=seen["event"], gaps=seen["gap"]
        )
        write(summary)
        log.info(
            ", ".join(f"{name.replace('_', ' ')} {n}" for name, n in list(summary.items())[1:])
        )


@contextlib.contextmanager
def _outputs(args: argparse.Namespace) -> Iterator[list[Write]]:
    """What writes to each output; standard output where no file is named, or --format is."""
    from ..command.output import stream
    from ..command.target import target_of
    from ..system.errors import ClipDuetError
    from ..system.files import real_path
    from .records import format_of, writer

    forms = []
    for name in args.output:
        form = format_of(name)
        if form is None:
            raise ClipDuetError(f"--output {name}: its suffix is none of .jsonl, .csv, .vtt")
        is_file = target_of(name, None).is_file
        path = real_path(name)
        if is_file and path.exists() and os.path.realpath(args.source) == str(path):
            raise ClipDuetError(f"--output {name} is the video; name another file")
        if is_file and path.is_file() and path.stat().st_size and not args.overwrite:
            raise ClipDuetError(f"--output {name} is there: name another file, or add --overwrite")
        forms.append((name, form))
    with contextlib.ExitStack() as opened:
        writers = [writer(form, opened.enter_context(stream(name))) for name, form in forms]
        if args.format or not forms:
            writers.append(writer(args.format or "jsonl", sys.stdout))
        yield writers


def _parser(prog: str) -> argparse.ArgumentParser:
    from ..command.option_values import above_zero, from_one, from_zero
    from ..containers.limits import LIMITS
    from ..runtimes.registry import BACKENDS
    from .records import FORMATS

    parser = Parser(
        prog=prog,
        description="Classify a long video or a live source, a window at a time.",
        epilog="Exit status: 0 done, 1 the source could not be read to its end, 2 wrong use; 128 "
        "more than the number of a signal that ended it.",
    )
    add = parser.add_argument
    add(
        "source",
        metavar="SOURCE",
        help="a video file, a camera (/dev/video0), or an address: http://, https://, rtsp://, "
        "rtsps://, tcp:// (MPEG-TS), udp://",
    )
    add("--window", type=_seconds, required=True, metavar="S", help="seconds of a window")
    add("--stride", type=_seconds, metavar="S", help="seconds between windows (default: --window)")
    add("--bundle", metavar="DIR", help="the exported bundle (default: bundles/dml)")
    add("--precision", default="fp32", help="fp32, int8, ... as the bundle has (default: fp32)")
    add(
        "--backend",
        default="onnxruntime",
        metavar="NAME",
        help=f"{', '.join(BACKENDS)}; or auto (default: onnxruntime)",
    )
    add("--device", type=from_zero, default=0, metavar="N", help="which GPU (default: 0)")
    add("--threads", type=from_one, metavar="N", help="threads of the network (default: all cores)")
    add("--top-k", type=from_one, default=5, metavar="K", help="answers a window (default: 5)")
    add(
        "--threshold",
        type=_share,
        default=0.5,
        metavar="P",
        help="score of a class in a window from which an event of it begins (default: 0.5)",
    )
    add(
        "--keep-threshold",
        type=_share,
        metavar="P",
        help="score from which an event goes on (default: --threshold)",
    )
    add(
        "--event-gap",
        type=_seconds_or_none,
        default=Fraction(0),
        metavar="S",
        help="seconds between two events of a class that make them one (default: 0)",
    )
    add(
        "--min-event",
        type=_seconds_or_none,
        default=Fraction(0),
        metavar="S",
        help="seconds that an event lasts at least; a shorter one is none (default: 0)",
    )
    add(
        "--output",
        "--out",
        action="append",
        default=[],
        metavar="FILE",
        help="write there as it happens, by suffix: .jsonl (windows, events, gaps, summary), .csv "
        "(without the summary), .vtt (events as subtitles); may be given several times",
    )
    add("--overwrite", action="store_true", help="replace a FILE that is there")
    add(
        "--format",
        choices=FORMATS,
        help="of standard output, which is used where no --output is given or this is (default: "
        "jsonl)",
    )
    add("--duration", type=_seconds, metavar="S", help="end after so many seconds of the source")
    add(
        "--complete",
        action="store_true",
        help="live sources: leave no window out, however late it comes",
    )
    add(
        "--max-lag",
        type=above_zero,
        metavar="S",
        help="live sources: seconds that frames may be late before windows are left out (default: "
        "--window, at least 2)",
    )
    add(
        "--timeout",
        type=above_zero,
        default=10.0,
        metavar="S",
        help="live sources: seconds that nothing may come (default: 10)",
    )
    add(
        "--reconnect",
        type=from_zero,
        default=10,
        metavar="N",
        help="live sources: how often in a row one that went away is opened again, after waits of "
        "0.5 to 30 seconds; 0: it ends there (default: 10)",
    )
    add(
        "--memory",
        type=from_one,
        default=2048,
        metavar="MIB",
        help="MiB that the frames of a window may take (default: 2048)",
    )
    add(
        "--max-pixels",
        type=from_one,
        default=LIMITS.pixels,
        metavar="N",
        help=f"pixels of a frame, at most; larger ones are left out (default: {LIMITS.pixels:,})",
    )
    return parser


def _seconds(text: str) -> Fraction:
    found = _seconds_or_none(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number of seconds above 0")
    return found


def _seconds_or_none(text: str) -> Fraction:
    """Exactly what was written: 0.1 is a tenth."""
    from ..system.hardware import LARGEST_LIMIT

    found = Fraction(-1)
    if len(text) <= 40 and "/" not in text and "e" not in text.lower():
        with contextlib.suppress(ValueError):
            found = Fraction(text)
    if not 0 <= found <= LARGEST_LIMIT:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number of seconds from 0")
    return found


def _share(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = -1.0
    if not 0 < found <= 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a number above 0, up to 1")
    return found


if __name__ == "__main__":
    run_and_exit(main)
