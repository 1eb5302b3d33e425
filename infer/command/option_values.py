"""Numbers that the options of a command take."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable

from ..system.hardware import LARGEST_LIMIT

LARGEST_COUNT = 10**15
"""Of anything that is counted, bytes too: no machine has so many."""


def whole(least: int, most: int) -> Callable[[str], int]:
    """What reads a whole number from `least` to `most`."""

    def read(text: str) -> int:
        # Python refuses to read thousands of digits, with an error of its own.
        value = int(text) if text.isdecimal() and len(text) <= 100 else -1
        if not least <= value <= most:
            allowed = f"a whole number from {least} to {most:,}"
            raise argparse.ArgumentTypeError(f"{_shown(text)} is not {allowed}")
        return value

    return read


from_one = whole(1, LARGEST_COUNT)
from_zero = whole(0, LARGEST_COUNT)


def up_to(most: float) -> Callable[[str], float]:
    """What reads a number above 0, up to `most`."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 < value <= most:
            raise argparse.ArgumentTypeError(
                f"{_shown(text)} is not a number above 0, up to {most:g}"
            )
        return value

    return read


above_zero = up_to(LARGEST_LIMIT)
share = up_to(1)


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:40]}...")
