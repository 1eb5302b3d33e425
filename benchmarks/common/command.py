"""What the command lines of the benchmarks share: options, and how they measure and write."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import dump
from infer.system.files import check_writable, write_text
from train.config.options import add_override
from train.paddle_import import import_paddle


def add_out(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """`--out`, a result file or a folder of them."""
    told = "result file (JSON)" if default is None else "default: %(default)s"
    place = None if default is None else Path(default)
    parser.add_argument("--out", "--output", type=Path, default=place, help=told)


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


TIMING = {"seconds": 0.0, "repetitions": 1}
"""Least values of what `add_timing` adds."""


def too_small(options: argparse.Namespace, least: Mapping[str, float]) -> list[str]:
    """A sentence for every option, or element of one, that is below its least value."""
    found = []
    for name, low in least.items():
        given = getattr(options, name)
        for value in given if isinstance(given, list) else [given]:
            # Written so that NaN is too small as well.
            if value is not None and not value >= low:
                flag = "--" + name.replace("_", "-")
                found.append(f"{flag} {value:g} (allowed: {low:g} or more)")
    return found


def refuse(problems: Sequence[str]) -> None:
    """Raise BenchmarkError about everything that is wrong with a command line, if anything is."""
    if problems:
        raise BenchmarkError("cannot work with " + "; ".join(problems))


def carry_out(
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    options: argparse.Namespace,
    *,
    least: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Measure, and write the result to `options.out`, if given.

    Args:
        measure: returns what is JSON-ready.
        options: of the command line.
        least: the smallest allowed value of numbers among the options, looked at before any work.

    Raises:
        BenchmarkError: a number is too small.
        WriteError: the result file could not be written.
    """
    refuse(too_small(options, least or {}))
    if options.out:
        check_writable(options.out)
    take_signals()
    result = measure(options)
    if options.out:
        write_text(options.out, dump(result))
    return result


def take_signals() -> None:
    """Import Paddle, where it is installed: it would take the signals that end a command later."""
    with contextlib.suppress(ImportError):
        import_paddle()
