"""Numbers that the options of a command take."""

from __future__ import annotations

import argparse
import math

LARGEST = 1e9
"""Seconds that no command runs for: the system takes no larger time limits."""


def from_one(text: str) -> int:
    """A whole number from 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def from_zero(text: str) -> int:
    """A whole number from 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0")
    return int(text)


def above_zero(text: str) -> float:
    """A number above 0, at most `LARGEST`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value <= LARGEST:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0, up to {LARGEST:g}")
    return value
