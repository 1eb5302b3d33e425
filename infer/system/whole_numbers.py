"""Whole numbers as arguments and in files: `True` is none, though Python counts it among them."""

from __future__ import annotations

import numbers


def is_whole(value: object, low: int, high: int | None = None) -> bool:
    """Whether a value is an `int` from `low` to `high`; None: however large."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return whole and low <= value and (high is None or value <= high)  # type: ignore[operator]


def argument_problems(
    name: str, value: object, low: int, high: int | None = None, *, allowed: str
) -> list[str]:
    """What is wrong with a program's argument, one line or none; NumPy's integers are fine.

    Args:
        name: of the argument.
        value: what was given.
        low: the least that is allowed.
        high: the most; None: there is none.
        allowed: says the same in words.
    """
    number = int(value) if isinstance(value, numbers.Integral) else value
    good = is_whole(number, low, high) and not isinstance(value, bool)
    return [] if good else [f"{name} is {value!r}; allowed: {allowed}"]
