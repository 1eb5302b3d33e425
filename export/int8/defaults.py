"""What INT8 may lose and keep in float, for command lines: nothing is loaded."""

from __future__ import annotations

from dataclasses import dataclass

MOST = 0.25
"""Largest share of the multiply-adds to keep in float: with more, INT8 is hardly worth its name."""


@dataclass(frozen=True)
class Goal:
    """What a quantised network must reach on the validation list.

    Attributes:
        loss: the largest allowed loss of top-1 against the trained network, in points (per cent
            of the clips).
        least: the least top-1, in per cent; None: any.
    """

    loss: float
    least: float | None = None
