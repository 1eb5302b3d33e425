"""The interval of a share of clips."""

from __future__ import annotations

import math
from statistics import NormalDist

LEVEL = 0.95


def wilson(right: int, of: int, *, level: float = LEVEL) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927); (0, 1) of nothing."""
    return wilson_of_share(right / of, of, level=level) if of else (0.0, 1.0)


def wilson_of_share(share: float, trials: float, *, level: float = LEVEL) -> tuple[float, float]:
    """The same where share and trials are means over models, and need not be whole numbers."""
    z = NormalDist().inv_cdf((1 + level) / 2)
    shrink = 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / shrink
    half = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials)) / shrink
    # Rounding may not put the share itself outside.
    return min(share, max(0.0, middle - half)), max(share, min(1.0, middle + half))
