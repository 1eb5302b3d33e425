"""What a bundle says of its scores: a temperature, and thresholds for a wanted precision."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..system.errors import BundleError
from ..system.strict_json import shown
from ..system.whole_numbers import is_whole


@dataclass(frozen=True)
class Confidence:
    """The entry `confidence` of bundle.json.

    Attributes:
        temperature: that logits are divided by for calibrated scores.
        thresholds: calibrated scores from which an answer is taken, by the precision that answers
            had from there on in validation.
    """

    temperature: float
    thresholds: Mapping[float, float]

    def threshold(self, precision: float) -> float:
        """The calibrated score for a precision, or for the next higher one that is known.

        Raises:
            BundleError: none is known for so high a precision.
        """
        enough = [one for one in self.thresholds if one >= precision]
        if not enough:
            known = ", ".join(f"{one:g}" for one in sorted(self.thresholds)) or "none"
            raise BundleError(
                f"the bundle has no threshold for a precision of {precision:g}; it has: {known}"
            )
        return self.thresholds[min(enough)]


def confidence_of(data: Mapping[str, Any]) -> Confidence | None:
    """What a bundle.json says, which is checked; None where it says nothing."""
    entry = data.get("confidence")
    if entry is None:
        return None
    table = {one["precision"]: one["threshold"] for one in entry["thresholds"]}
    return Confidence(entry["temperature"], table)


def confidence_problems(entry: object) -> list[str]:
    """Everything wrong with the entry, one line each."""
    if not isinstance(entry, Mapping):
        return ["confidence is not a mapping"]
    out = []
    if not _number(entry.get("temperature"), 1e6):
        out.append(f"confidence.temperature is {shown(entry.get('temperature'))}; allowed: above 0")
    table = entry.get("thresholds")
    if not isinstance(table, list):
        return [*out, "confidence.thresholds is not a list"]
    for place, one in enumerate(table):
        where = f"confidence.thresholds[{place}]"
        if not isinstance(one, Mapping):
            out.append(f"{where} is not a mapping")
            continue
        out += [
            f"{where}.{name} is {shown(one.get(name))}; allowed: above 0, up to 1"
            for name in ("precision", "threshold")
            if not _number(one.get(name), 1)
        ]
        out += [
            f"{where}.{name} is {shown(one.get(name))}; allowed: a whole number from 0"
            for name in ("clips", "right")
            if name in one and not is_whole(one[name], 0)
        ]
    return out


def _number(value: object, most: float) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= most
