"""The oldest versions of packages that were tested, of those that decide pixels and answers."""

from __future__ import annotations

import re
from collections.abc import Mapping

OLDEST: Mapping[str, str] = {
    # 14.1 to 17.0.1 crash the process on FLV and MPEG program streams, and up to 16.1 take the
    # colours of BT.709 for those of BT.601.
    "av": "17.1.0",
    "numpy": "2.0.0",
    # From here to 5.0 `resize` and JPEG give the same pixels.
    "opencv-python-headless": "4.10.0.84",
    "pillow": "10.0.0",
}
"""By the name to install; setup.cfg asks for the same. Backends say theirs: `Backend.oldest`."""


def is_older(version: str, than: str) -> bool:
    """Whether a version comes before another, by its leading numbers; one without any does not."""
    numbers = _numbers(version)
    return bool(numbers) and _padded(numbers) < _padded(_numbers(than))


def major(version: str) -> int | None:
    """The first number of a version."""
    numbers = _numbers(version)
    return numbers[0] if numbers else None


def _numbers(version: str) -> tuple[int, ...]:
    found = re.match(r"\d{1,9}(?:\.\d{1,9})*", version)
    return tuple(map(int, found[0].split("."))) if found else ()


def _padded(numbers: tuple[int, ...]) -> tuple[int, ...]:
    return (numbers + (0,) * 6)[:6]
