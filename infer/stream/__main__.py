"""Classify a long video or a live source, a window at a time: `clipduet stream SOURCE`.

Exit status: 0 done; 1 the source could not be read to its end; 2 wrong use; 130 interrupted, 143
ended by SIGTERM, 129 by SIGHUP, 141 the reader of a pipe went away (as shells count them).
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..command.runner import FAILED, command, run_and_exit
from ..system.log import logger
from .options import parser

if TYPE_CHECKING:
    from ..api import Model
    from .annotated import AnnotatedVideo
    from .classify import WindowPrediction
    from .events import Event, Events
    from .reader import Counts, Gap
    from .records import Write

PROG = f"python -m {__package__}"
THRESHOLD = 0.5
"""Of events, where none is given."""
log = logger(PROG.rpartition(" ")[2])


@command(stopped=None)
def main(argv: Sequence[str] | None = None, *, prog: str = PROG) -> int:
    """The command line, which calls itself `prog`; returns the exit status."""
    args = parser(prog).parse_args(argv)
    from ..system.errors import VideoError

    try:
        return _stream(args)
    except VideoError as error:
        from .source import own_reason

        told = VideoError(error.path, own_reason(error), error.kind)
        told.exit_status = FAILED  # it is the only source
        raise told from None


def _stream(args: argparse.Namespace) -> int:
    """What the command does; returns the exit status."""
    from ..system.errors import ClipDuetError

    if args.threshold is not None and args.precision_goal is not None:
        raise ClipDuetError("--threshold and --precision-goal both say it: give one of them")
    from ..api import load
    from ..command.named_bundle import about_decoder, load_bundle
    from ..command.score_options import goal_threshold, is_calibrated
    from ..containers.limits import Limits
    from .annotated import AnnotatedVideo
    from .classify import classify, window_seconds
    from .events import EventRules, Events
    from .reader import Counts
    from .source import check_source, source_of

    source = source_of(args.source)
    limits, counts = Limits(pixels=args.max_pixels), Counts()
    check_source(source, limits)
    bundle = load_bundle(args.bundle)
    about_decoder(bundle)
    begin = args.threshold or goal_threshold(args, bundle) or THRESHOLD
    keep = begin if args.keep_threshold is None else args.keep_threshold
    if keep > begin:
        raise ClipDuetError(
            f"--keep-threshold is {keep:g}; allowed: at most --threshold, {begin:g}"
        )
    window = window_seconds(bundle) if args.window is None else args.window
    video = None
    if args.save_video is not None:
        video = AnnotatedVideo(
            args.save_video, source, bundle=bundle.root, overwrite=args.overwrite, limits=limits
        )
    with contextlib.ExitStack() as opened:
        writers = opened.enter_context(_outputs(args))
        model = opened.enter_context(
            load(
                bundle.root,
                backend=args.backend,
                precision=args.precision,
                threads=args.threads,
                device=args.device,
                calibrated=is_calibrated(args),
            )
        )
        found = classify(
            model,
            args.source,
            window=window,
            stride=args.stride,
            top_k=len(model.classes),
            complete=args.complete,
            max_lag=args.max_lag,
            timeout=args.timeout,
            reconnect=args.reconnect,
            duration=args.duration,
            memory=args.memory << 20,
            limits=limits,
            counts=counts,
        )
        rules = EventRules(begin, keep, float(args.event_gap), float(args.min_event))
        log.info(f"{source.shown}: windows of {float(window):g} s")
        _run(
            found,
            writers,
            Events(rules),
            model,
            counts,
            k=args.top_k,
            source=source.shown,
            video=video,
        )
    if video is not None:
        video.save()
    return 0


def _run(
    found: Iterator[WindowPrediction | Gap],
    writers: Callable[[], Sequence[Write]],
    events: Events,
    model: Model,
    counts: Counts,
    *,
    k: int,
    source: str,
    video: AnnotatedVideo | None = None,
) -> None:
    """Write everything as it happens; however it ends, the last events and a summary too.

    Of a source without a frame only the error is told, and nothing is written.
    """
    from dataclasses import replace

    from ..system.errors import ClipDuetError
    from .reader import Gap
    from .records import event_record, gap_record, summary_record, window_record

    seen = {"window": 0, "event": 0, "gap": 0}
    failed = False

    def write(record: dict[str, object]) -> None:
        if record["type"] in seen:
            seen[str(record["type"])] += 1
        for one in writers():
            one(record)

    def told(done: Sequence[Event]) -> None:
        for event in done:
            write(event_record(event, model.classes))

    try:
        for item in found:
            if isinstance(item, Gap):
                told(events.finish())
                write(gap_record(item))
                log.warning(f"{float(item.start):.3f} to {float(item.end):.3f} s: {item.reason}")
                continue
            shown = replace(item, topk=item.topk[:k])
            write(window_record(shown))
            if video is not None:
                video.add(shown)
            scores = {one.index: one.score for one in item.topk}
            told(events.add(item.start, item.end, [scores[n] for n in sorted(scores)]))
    except ClipDuetError:
        failed = not counts.frames
        raise
    finally:
        # Also after Ctrl-C and where the source went away. A full disk is an error of its own.
        told(events.finish())
        if not failed:
            summary = summary_record(
                counts, windows=seen["window"], events=seen["event"], gaps=seen["gap"]
            )
            write(summary)
            numbers = [(name, n) for name, n in summary.items() if name not in ("type", "warning")]
            log.info(", ".join(f"{name.replace('_', ' ')} {n}" for name, n in numbers))
            if counts.warning:
                log.warning(f"warning: {source}: {counts.warning}")


@contextlib.contextmanager
def _outputs(args: argparse.Namespace) -> Iterator[Callable[[], list[Write]]]:
    """What writes to each output, once it is asked for; until then, files keep what they have.

    Standard output is one where no file is named, or --format is.
    """
    from ..command.output import stream
    from ..command.target import target_of
    from ..system.errors import ClipDuetError
    from ..system.files import real_path
    from .append import check_begun, cut_half_record
    from .records import format_of, writer

    if args.append and args.overwrite:
        raise ClipDuetError("--append and --overwrite exclude each other: give one of them")
    forms = []
    for name in args.output:
        form = format_of(name)
        if form is None:
            raise ClipDuetError(f"--output {name}: its suffix is none of .jsonl, .csv, .vtt")
        is_file = target_of(name, None).is_file
        path = real_path(name)
        if is_file and path.exists() and os.path.realpath(args.source) == str(path):
            raise ClipDuetError(f"--output {name} is the video; name another file")
        begun = is_file and path.is_file() and path.stat().st_size > 0
        if begun and args.append:
            check_begun(path, form)
        elif begun and not args.overwrite:
            raise ClipDuetError(
                f"--output {name} is there: name another file, or add --append or --overwrite"
            )
        forms.append((name, form, path if begun else None))
    with contextlib.ExitStack() as opened:
        outs = []
        for name, form, old in forms:
            goes_on = old is not None and args.append and cut_half_record(old, form)
            out = opened.enter_context(stream(name, append=True))
            outs.append((form, out, goes_on, old is not None and not goes_on))

        @functools.cache
        def begin() -> list[Write]:
            writers = []
            for form, out, goes_on, is_replaced in outs:
                if is_replaced:
                    out.truncate(0)
                writers.append(writer(form, out, begun=goes_on))
            if args.format or not outs:
                writers.append(writer(args.format or "jsonl", sys.stdout))
            return writers

        yield begin


if __name__ == "__main__":
    run_and_exit(main)
