"""What the command lines of the benchmarks share: options, and how they measure and write."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import EXTRA
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import dump
from export.option_limits import Allowed, number_problems, refuse
from infer.command.runner import command
from infer.system.files import check_writable, write_text
from train.config.options import add_override
from train.paddle_import import import_paddle


def add_out(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """`--out`, a result file or a folder of them."""
    told = "result file (JSON)" if default is None else "default: %(default)s"
    place = None if default is None else Path(default)
    parser.add_argument("--out", "--output", type=Path, default=place, help=told)


def add_bundle(parser: argparse.ArgumentParser) -> None:
    """`--bundle`, that of the demo's student if not given."""
    default = Path("bundles/dml")
    parser.add_argument("--bundle", type=Path, default=default, help="default: %(default)s")


def add_videos(
    parser: argparse.ArgumentParser, default: str = "data/motions/test/0000*.mp4"
) -> None:
    """`--video`, which `named_videos` finds."""
    parser.add_argument(
        "--video", nargs="+", default=[default], metavar="PATH",
        help="files, folders, quoted patterns; default: %(default)s",
    )  # fmt: skip


def named_videos(options: argparse.Namespace) -> list[Path]:
    """The videos that `--video` names.

    Raises:
        BenchmarkError: there is none.
    """
    from infer.command.inputs import find_videos

    found = list(find_videos(options.video).videos)
    if not found:
        raise BenchmarkError(f"--video {' '.join(options.video)} names no video")
    return found


def add_timing(parser: argparse.ArgumentParser, *, seconds: float = 60.0) -> None:
    """`--out`, `--seconds` and `--repetitions`."""
    add_out(parser)
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="about how long to time (%(default)s)"
    )
    parser.add_argument(
        "--repetitions", type=int, default=5, help="repetitions whose spread is reported"
    )


def add_config(parser: argparse.ArgumentParser, default: str) -> None:
    """`--config` and `--override`."""
    parser.add_argument("-c", "--config", default=default, help="default: %(default)s")
    add_override(parser)


def add_seeds(parser: argparse.ArgumentParser, default: Sequence[int]) -> None:
    """`--seeds`, of the trainings that are compared."""
    parser.add_argument(
        "--seeds", nargs="+", type=int, default=list(default), help="default: %(default)s"
    )


def repeated_seeds(seeds: Sequence[int]) -> list[str]:
    """A sentence if one is given twice."""
    return ["--seeds names one twice"] if len(set(seeds)) < len(seeds) else []


REPETITIONS = Allowed(1, 10_000)
RESAMPLES = Allowed(100, 10_000_000)
TIMING = {"seconds": Allowed(0, 24 * 3600, "seconds"), "repetitions": REPETITIONS}
"""What the numbers that `add_timing` adds may be."""

measuring = command(stopped="nothing was written", extra=EXTRA)
"""Makes a command of the `main` of a benchmark that begins anew each time."""


def carry_out(
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    options: argparse.Namespace,
    *,
    allowed: Mapping[str, Allowed],
) -> dict[str, Any]:
    """Measure, and write the result to `options.out`, if given.

    Args:
        measure: returns what is JSON-ready.
        options: of the command line.
        allowed: what the numbers among the options may be, looked at before any work.

    Raises:
        OptionError: a number is beyond that.
        WriteError: the result file could not be written.
    """
    refuse(number_problems(vars(options), allowed))
    if options.out:
        check_writable(options.out)
    take_signals()
    result = measure(options)
    if options.out:
        write_text(options.out, dump(result))
    return result


def carry_out_and_judge(
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    lines: Callable[[dict[str, Any]], Sequence[str]],
    options: argparse.Namespace,
    *,
    allowed: Mapping[str, Allowed],
) -> int:
    """`carry_out`, and print what was found.

    Args:
        measure: returns what is JSON-ready; `met` says whether all is as it should be.
        lines: the result for people.
        options: of the command line, with `--out`.
        allowed: as of `carry_out`.

    Returns:
        The exit status: 0 where it is met, else 1.
    """
    result = carry_out(measure, options, allowed=allowed)
    for line in lines(result):
        print(line)
    print("all is right" if result["met"] else "NOT all is right")
    print(f"written: {options.out}")
    return 0 if result["met"] else 1


def take_signals() -> None:
    """Import Paddle, where it is installed: it would take the signals that end a command later."""
    with contextlib.suppress(ImportError):
        import_paddle()
