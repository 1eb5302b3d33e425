"""The options of a command that resamples answers."""

from __future__ import annotations

import argparse

from benchmarks.stats.resample import LEVEL, RESAMPLES, Bootstrap


def add_resamples(parser: argparse.ArgumentParser) -> None:
    """`--resamples`."""
    parser.add_argument("--resamples", type=int, default=RESAMPLES, help="bootstrap resamples")


def add_resampling(parser: argparse.ArgumentParser) -> None:
    """`--resamples` and `--bootstrap-seed`."""
    add_resamples(parser)
    parser.add_argument("--bootstrap-seed", type=int, default=0, help="seed of the resampling")


def bootstrap_of(options: argparse.Namespace) -> Bootstrap:
    """The resampling that a command line asks for, at the usual level."""
    return {"resamples": options.resamples, "seed": options.bootstrap_seed, "level": LEVEL}
