"""The command line of `clipduet stream`."""

from __future__ import annotations

import argparse
import contextlib
from fractions import Fraction

from ..command.parser import Parser


def parser(prog: str) -> argparse.ArgumentParser:
    """The command line of a program of that name."""
    from ..command.option_values import above_zero, from_one, from_zero, share
    from ..command.runtime_options import add_runtime_options
    from ..command.score_options import add_score_options
    from ..containers.limits import LIMITS
    from .records import FORMATS

    found = Parser(
        prog=prog,
        description="Classify a long video or a live source, a window at a time.",
        epilog="Exit status: 0 done, 1 the source could not be read to its end, 2 wrong use; 128 "
        "more than the number of a signal that ended it.",
    )
    add = found.add_argument
    add(
        "source",
        metavar="SOURCE",
        help="a video file, a camera (/dev/video0), or an address: http://, https://, rtsp://, "
        "rtsps://, tcp:// (MPEG-TS), udp://",
    )
    add(
        "--window",
        type=_seconds,
        metavar="S",
        help="seconds of a window (default: the median length of the clips that the bundle was "
        "trained on)",
    )
    add("--stride", type=_seconds, metavar="S", help="seconds between windows (default: --window)")
    add_runtime_options(found)
    add("--top-k", type=from_one, default=5, metavar="K", help="answers a window (default: 5)")
    add(
        "--threshold",
        type=share,
        metavar="P",
        help="score of a class in a window from which an event of it begins (default: 0.5, or what "
        "--precision-goal says)",
    )
    add(
        "--keep-threshold",
        type=share,
        metavar="P",
        help="score from which an event goes on (default: --threshold)",
    )
    add_score_options(found, goal="begin events at the score")
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
    add(
        "--save-video",
        metavar="DIR",
        help="files only: at the end write the video there too, without sound, with the answer of "
        "each window below its frames",
    )
    add("--overwrite", action="store_true", help="replace a FILE that is there, also in DIR")
    add(
        "--append",
        action="store_true",
        help="go on at the end of a FILE that is there; a half last line is cut off first",
    )
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
    return found


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
