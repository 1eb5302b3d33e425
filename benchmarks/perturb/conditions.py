"""Conditions on perturbed clips, where they are asked for.

They are about every deployment but the reference, whose own verdict is about its gain, and about
perturbations, all or some. As in the gate, a missed one fails a deployment, and an open one makes a
pass inconclusive.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.gate.conditions import MET, MISSED, OPEN, with_conditions
from benchmarks.gate.verdict import FAIL, PASS, UNCLEAR
from benchmarks.perturb.cameras import ALL, chosen_names

Row = Mapping[str, Any]
Require = Mapping[str, Sequence[str]]
"""By name of a condition the perturbations that it is about."""


@dataclass(frozen=True)
class Condition:
    """What has to be so in a deployment under a perturbation.

    Attributes:
        about: for people; `{keep}` stands for the percentage of `--keep`.
        interval: of a row: what has to be above zero, with `point`, `low`, `high` and `level`.
        standing: of a row, whether it is.
    """

    about: str
    interval: Callable[[Row], Mapping[str, Any]]
    standing: Callable[[Row], str]


def _kept_standing(row: Row) -> str:
    found = row["verdict"]
    if found["same_network"]:
        return MET
    # Without a gain no share of it can be retained, nor lost: where the reference loses, a share of
    # that loss is above the whole of it.
    if found["kept"]["high"] < 0 and found["gain_in_reference"]["point"] > 0:
        return MISSED
    return MET if found["gain_is_real"] and found["kept"]["low"] > 0 else OPEN


CONDITIONS = {
    "gain": Condition(
        "the gain in this deployment is above zero",
        lambda row: row["gain"],
        lambda row: {PASS: MET, FAIL: MISSED, UNCLEAR: OPEN}[row["gain"]["verdict"]],
    ),
    "retained": Condition(
        "at least {keep:g} % of the reference's gain is retained",
        lambda row: row["verdict"]["kept"],
        _kept_standing,
    ),
}
"""By the name that `--require` takes."""


def of_perturbed(given: Sequence[str]) -> list[str]:
    """Those of the values of `--require` that are about perturbed clips."""
    return [text for text in given if text.partition("=")[0] in CONDITIONS]


def parse_requirements(
    given: Sequence[str], measured: Sequence[str]
) -> tuple[dict[str, list[str]], list[str]]:
    """`NAME` or `NAME=PERTURBATION,...` of a command line, and what is wrong with them.

    Args:
        given: values of `--require`.
        measured: the perturbations that `--perturb` names; others are refused.
    """
    found: dict[str, list[str]] = {}
    wrong = []
    for text in given:
        name, limited, value = text.partition("=")
        names, unknown = chosen_names(
            [value if limited else ALL], among=measured, option=f"--require {name}"
        )
        if name not in CONDITIONS:
            wrong.append(
                f"--require is {text!r}; allowed: {', '.join(CONDITIONS)}, alone or with "
                "=PERTURBATION,..."
            )
        elif name in found:
            wrong.append(f"--require names {name} twice")
        elif limited and not value.strip(","):
            wrong.append(f"--require is {text!r}; allowed: {name}, or {name}=PERTURBATION,...")
        else:
            wrong += unknown
            found[name] = names
    return found, wrong


def apply_conditions(row: dict[str, Any], require: Require) -> None:
    """Examine the conditions of a row and change its verdict where they ask for it."""
    if "verdict" not in row:
        return
    names = [name for name, under in require.items() if row["perturbation"] in under]
    if names:
        row["verdict"] = with_conditions(row["verdict"], [_examine(row, name) for name in names])


def _examine(row: Row, name: str) -> dict[str, Any]:
    condition = CONDITIONS[name]
    interval = condition.interval(row)
    return {
        "name": name,
        "found": condition.standing(row),
        "interval": {key: interval[key] for key in ("point", "low", "high", "level")},
    }
