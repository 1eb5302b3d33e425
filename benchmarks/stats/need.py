"""How many clips or trained pairs a verdict would take: an estimate and its range."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Need:
    """How much it would take to tell a contrast from its limit.

    Attributes:
        of: what is lacking.
        about: the number if the contrast is where it was seen; None where that is its limit.
        low: lower end of the range.
        high: upper end; None where the data set none.
    """

    of: Literal["clips", "pairs"]
    about: int | None
    low: int
    high: int | None

    def to_dict(self) -> dict[str, Any]:
        """As the verdict of a result file holds it."""
        ends = [self.low, self.high]
        return NO_NEED | {f"{self.of}_needed": self.about, f"{self.of}_range": ends}


NO_NEED: dict[str, Any] = dict.fromkeys(
    ("clips_needed", "clips_range", "pairs_needed", "pairs_range")
)


def easiest(needs: Sequence[Need]) -> Need:
    """What it takes where one proof of several is enough."""
    return _combined(needs, min)


def hardest(needs: Sequence[Need]) -> Need:
    """What it takes where every proof is needed."""
    return _combined(needs, max)


def _combined(needs: Sequence[Need], pick: Callable[..., Any]) -> Need:
    chosen = pick(needs, key=_effort)
    alike = [need for need in needs if need.of == chosen.of]
    high = pick(math.inf if need.high is None else need.high for need in alike)
    return Need(
        chosen.of,
        chosen.about,
        pick(need.low for need in alike),
        None if math.isinf(high) else high,
    )


def _effort(need: Need) -> float:
    # More trainings are dearer than more clips, whatever their number.
    if need.of == "pairs":
        return 1e12 * (need.about or 1e6)
    return need.about if need.about is not None else math.inf
