"""What the command lines of the benchmarks share: how they run, and how they are told to time."""

from __future__ import annotations

import argparse
import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import dump
from infer.system.errors import ClipDuetError, explained
from infer.system.files import check_writable, write_text
from infer.system.signals import exit_status, stoppable

WRONG_USE = 2


def add_timing(parser: argparse.ArgumentParser, *, seconds: float = 60.0) -> None:
    """`--out`, `--seconds` and `--repetitions`."""
    parser.add_argument("--out", type=Path, help="result file (JSON)")
    parser.add_argument(
        "--seconds", type=float, default=seconds, help="about how long to time (%(default)s)"
    )
    parser.add_argument(
        "--repetitions", type=int, default=5, help="repetitions whose spread is reported"
    )


def add_config(parser: argparse.ArgumentParser, default: str) -> None:
    """`--config` and `--override`."""
    parser.add_argument("-c", "--config", default=default, help="default: %(default)s")
    parser.add_argument(
        "-o",
        "--override",
        action="append",
        default=[],
        metavar="A.B=VALUE",
        help="change a setting of the config",
    )


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
) -> dict[str, Any] | None:
    """Measure, and write the result to `options.out`, if given; None after a told mistake.

    Args:
        measure: returns the result.
        options: parsed options.
        least: the smallest allowed value of numbers among the options, checked before any work.

    Raises:
        SystemExit: after a signal, of its status (130 for Ctrl-C, 143 for SIGTERM).
    """
    hush()
    try:
        refuse(too_small(options, least or {}))
        if options.out:
            check_writable(options.out)
        with in_order():
            result = measure(options)
            if options.out:
                write_text(options.out, dump(result))
    except (ClipDuetError, OSError) as error:
        print(f"error: {explained(error)}", file=sys.stderr)
        return None
    except KeyboardInterrupt as stop:
        print("\nstopped; nothing was written", file=sys.stderr)
        raise SystemExit(exit_status(stop)) from None
    return result


def carry_through(
    work: Callable[[argparse.Namespace], Sequence[str]],
    options: argparse.Namespace,
    *,
    goes_on: str,
) -> int:
    """Do long work that writes its own files, print the lines it returns, and give the exit status.

    Args:
        work: writes below `options.out` and returns what is to be said.
        options: of the command line.
        goes_on: from where the same command goes on after it was stopped.

    Returns:
        0 done, 2 after a told mistake or a step that failed, 130 interrupted, 143 or 129 ended by
        SIGTERM or SIGHUP.
    """
    hush()
    try:
        with in_order():
            lines = work(options)
    except (ClipDuetError, OSError) as error:
        print(f"error: {explained(error)}", file=sys.stderr)
        return WRONG_USE
    except KeyboardInterrupt as stop:
        print(f"\nstopped; the same command goes on {goes_on}", file=sys.stderr)
        return exit_status(stop)
    for line in lines:
        print(line)
    return 0


@contextmanager
def in_order() -> Iterator[None]:
    """Raise `infer.system.signals.Stopped` on SIGTERM and SIGHUP, also where Paddle is used."""
    with contextlib.suppress(ImportError):
        # Paddle takes these signals when it is imported: so before they are taken here.
        import paddle

        paddle.disable_signal_handler()
    with stoppable():
        yield


def hush() -> None:
    """Paddle wonders about a compiler cache that nothing here needs."""
    warnings.filterwarnings("ignore", message="No ccache found")
