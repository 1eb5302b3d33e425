"""How many clips or trained pairs a verdict would take, as sentences."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from benchmarks.pages import numbers

MILLION = 1_000_000


def needed_for_verdict(found: Mapping[str, Any], results: Mapping[str, Any]) -> str:
    """How much more it would take to tell a verdict."""
    if found["pairs_range"] is not None:
        return needed_sentence(found["pairs_range"], len(results["pairs"]), "trained pairs")
    if found["clips_range"] is not None:
        return needed_sentence(
            found["clips_range"], results["data"]["listed"], clips_words(results)
        )
    return "The estimates lie at the limits: no number can be named."


def clips_words(results: Mapping[str, Any]) -> str:
    """What is needed more of where clips are: of clips in groups, more groups."""
    return "clips (in as many more groups)" if "groups" in results["data"] else "clips"


def needed_sentence(needed: Sequence[int | None], given: int, what: str) -> str:
    """How many it would take instead of those given.

    Args:
        needed: lower and upper end; None where the data set none.
        given: how many there are.
        what: clips or trained pairs.
    """
    low, high = needed
    least = _rounded(low or 0, math.floor)
    if not _is_named(needed, given):
        return f"How many {what} would be needed cannot be estimated from these {given:,}."
    if high is None:
        return (
            f"At least about {_count(least)} {what} would be needed instead of {given:,}; an "
            "upper limit cannot be estimated from these."
        )
    most = _count(_rounded(high, math.ceil))
    span = f"Up to about {most}" if least <= given else f"About {_count(least)} to {most}"
    return f"{span} {what} would be needed instead of {given:,}."


def _is_named(needed: Sequence[int | None], given: int) -> bool:
    """Whether the range says more than that it would take others than those given."""
    return needed[1] is not None or _rounded(needed[0] or 0, math.floor) > given


def needed_note(results: Mapping[str, Any]) -> list[str]:
    """What the numbers of clips said to be needed hold for; nothing where none is said."""
    given = {"clips_range": results["data"]["listed"], "pairs_range": len(results["pairs"])}
    ranges = [(row["verdict"].get(name), given[name]) for row in results["cells"] for name in given]
    if not any(needed and _is_named(needed, count) for needed, count in ranges):
        return []
    level = numbers.percent(results["conditions"]["level"], 0)
    return [
        "The numbers of clips or pairs needed are for a power of 80 % and further clips or pairs "
        "like these. The lower end of a range assumes that the contrast is as far from its limit "
        f"as its {level} interval allows, the upper end that it is as near as its 80 % interval "
        "allows."
    ]


def _rounded(number: int, way: Callable[[float], int]) -> int:
    """To one digit that counts, two where the first is a one: 941 is 900 below, 1,000 above."""
    unit = 10 ** max(0, len(str(number)) - (2 if str(number).startswith("1") else 1))
    return way(number / unit) * unit


def _count(number: int) -> str:
    return "100 million" if number >= 100 * MILLION else f"{number:,}"
