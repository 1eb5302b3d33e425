"""Conditions that a deployment has to meet besides the gain, where they are asked for.

A condition is met where the whole interval of what it is about is within its limit, missed where
the whole interval is beyond it, and open else. A missed one fails a deployment, an open one makes a
pass inconclusive. A float deployment that computes what the reference computes meets those that are
about changes from the reference on any number of clips.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.gate.verdict import FAIL, PASS, UNCLEAR

MET, MISSED, OPEN = "met", "missed", "open"

Row = Mapping[str, Any]
Found = Mapping[str, Any] | None


@dataclass(frozen=True)
class Condition:
    """Something that may be at most so large.

    Attributes:
        about: what is limited, for people; its unit is percentage points.
        interval: of a deployment's row: the share that is limited, with `point`, `low` and
            `high`; None where the row does not hold it.
        of_change: it is about a change from the reference.
    """

    about: str
    interval: Callable[[Row], Found]
    of_change: bool = True


def _ece_rise(row: Row) -> Found:
    calibration = row["student"].get("calibration")
    return None if calibration is None else calibration["change"]["ece"]


def _class_fall(row: Row) -> Found:
    """The largest fall; its ends are the largest of all classes, whose intervals hold together."""
    change = row["student"]["classes"]["change"]
    return {
        "point": -min(change["point"]),
        "low": -min(change["high"]),
        "high": -min(change["low"]),
        "level": change["level"],
    }


CONDITIONS = {
    "flips": Condition(
        "clips that the student answers right in the reference and wrong here",
        lambda row: row["student"]["flips"]["right_to_wrong"],
    ),
    "negative-flips": Condition(
        "share of the baseline's right answers that the student loses",
        lambda row: row["flips"]["negative_flips"],
        of_change=False,
    ),
    "ece-rise": Condition("rise of the student's ECE from the reference", _ece_rise),
    "class-fall": Condition("largest fall of the student's recall of a class", _class_fall),
}
"""By the name that `--require` takes."""


def parse_requirements(
    given: Sequence[str], *, others: Collection[str] = ()
) -> tuple[dict[str, float], list[str]]:
    """`NAME=POINTS` of a command line as shares by name, and what is wrong with them.

    Args:
        given: values of `--require`.
        others: names of conditions that something else takes.
    """
    found: dict[str, float] = {}
    wrong = []
    for text in given:
        name, _, number = text.partition("=")
        if name in others:
            continue
        try:
            limit = float(number)
        except ValueError:
            limit = -1.0
        if name not in CONDITIONS:
            also = f"; {', '.join(others)}" if others else ""
            wrong.append(
                f"--require is {text!r}; allowed: {', '.join(CONDITIONS)}, with =POINTS{also}"
            )
        elif not 0 <= limit < 100:
            wrong.append(
                f"--require is {text!r}; allowed: {name}=POINTS with percentage points from 0, "
                "below 100"
            )
        elif name in found:
            wrong.append(f"--require names {name} twice")
        else:
            found[name] = limit / 100
    return found, wrong


def examine(row: Row, name: str, limit: float) -> dict[str, Any]:
    """How a deployment stands to one condition; JSON-ready.

    Args:
        row: of the result file, not the reference's.
        name: of `CONDITIONS`.
        limit: a share.
    """
    condition = CONDITIONS[name]
    interval = condition.interval(row)
    return {
        "name": name,
        "limit": limit,
        "found": _standing(
            interval, limit, same=condition.of_change and row["verdict"]["same_network"]
        ),
        "interval": interval
        and {key: interval[key] for key in ("point", "low", "high", "level")},
    }  # fmt: skip


def _standing(interval: Found, limit: float, *, same: bool) -> str:
    if same:
        return MET
    if interval is None:
        return OPEN
    if interval["high"] <= limit:
        return MET
    return MISSED if interval["low"] > limit else OPEN


def settle(by_gain: str, standings: Sequence[str]) -> str:
    """The verdict, from the one about the gain and how the conditions stand."""
    if MISSED in standings:
        return FAIL
    return UNCLEAR if by_gain == PASS and OPEN in standings else by_gain


def apply_conditions(row: dict[str, Any], require: Mapping[str, float]) -> None:
    """Examine the conditions of a row and change its verdict where they ask for it."""
    if not require:
        return
    required = [examine(row, name, limit) for name, limit in require.items()]
    row["verdict"] = with_conditions(row["verdict"], required)


def with_conditions(
    found: Mapping[str, Any], required: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """A verdict, from the one without conditions and how each stands (`found`); JSON-ready."""
    return {
        **found,
        "verdict": settle(found["verdict"], [one["found"] for one in required]),
        "by_gain": found["verdict"],
        "required": required,
    }
