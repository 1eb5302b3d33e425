"""Options of the commands that calibrate: on how many clips, and how ranges follow from them."""

from __future__ import annotations

import argparse


def add_calibration(parser: argparse.ArgumentParser) -> None:
    """`--calibrator` and `--calibration-clips`."""
    add = parser.add_argument
    add("--calibrator", choices=("minmax", "entropy", "percentile"), default="percentile",
        help="how ranges follow from the values seen (default: percentile)")  # fmt: skip
    add("--calibration-clips", type=int, default=128, help="training clips that set the ranges "
        "of int8 (default: 128)")  # fmt: skip
