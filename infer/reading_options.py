"""Options of a command for the videos that it reads: how large they may be."""

from __future__ import annotations

import argparse
from dataclasses import fields

from infer.limits import LIMITS, Limits
from infer.option_values import above_zero, from_one


def add_reading_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a command's parser."""
    for name, kind, what in (
        ("pixels", from_one, "pixels of a frame, width times height"),
        ("frames", from_one, "frames of a video"),
        ("seconds", above_zero, "seconds of a video, by its time stamps"),
        ("bytes", from_one, "bytes of a video's file"),
    ):
        most = getattr(LIMITS, name)
        parser.add_argument(
            f"--max-{name}",
            type=kind,
            default=most,
            metavar="N",
            help=f"{what}, at most; more is an error (default: {most:,})",
        )


def limits_of(args: argparse.Namespace) -> Limits:
    """The limits that a command line asks for."""
    return Limits(**{one.name: getattr(args, f"max_{one.name}") for one in fields(Limits)})
