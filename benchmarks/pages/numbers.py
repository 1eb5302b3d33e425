"""Numbers, intervals and names of deployments as reports show them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infer.runtimes.registry import BACKENDS

OTHER_TITLES = {"dynamic": "Paddle (dynamic graph)"}
"""Of what runs a network and is no backend."""

NOT_DISTINGUISHABLE = "not statistically significant"
NOT_ESTIMABLE = "not estimable"
NOT_MEANINGFUL = "not meaningful"
NONE = "\u2014"
"""Where a table has no figure."""


def cell_name(key: str) -> str:
    """Name a cell for people: onnxruntime:int8 is ONNX Runtime int8."""
    return _named(key, short=False)


def short_name(key: str) -> str:
    """The same where there is little room: ORT int8."""
    return _named(key, short=True)


def _named(key: str, *, short: bool) -> str:
    name, _, precision = key.partition(":")
    title = OTHER_TITLES.get(name, name)
    if name in BACKENDS:
        title = (BACKENDS[name].short_title if short else "") or BACKENDS[name].title
    return f"{title} {precision}".strip()


def joined(names: Sequence[str]) -> str:
    """A, B and C."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def percent(value: float | None, digits: int = 1) -> str:
    """A share in percent; None is a bound that the data do not set."""
    return "unbounded" if value is None else f"{100 * value:.{digits}f} %".replace("-", "\u2212")


def points(value: float | None, digits: int = 2) -> str:
    """A difference of shares in percentage points, always with its sign."""
    if value is None:
        return "unbounded"
    text = f"{100 * value:+.{digits}f}"
    # A rounded zero has no direction.
    return text.replace("-", "+") if float(text) == 0 else text.replace("-", "\u2212")


def interval(value: Mapping[str, Any], *, share: bool = False) -> str:
    """Estimate and bounds: +1.20 [+0.40, +2.00] in points, 92 % [60 %, unbounded] as a share.

    Where resampling found no spread at all, that is no certainty but a lack of differing answers.
    """
    show = (lambda x: percent(x, 0)) if share else points
    if value["low"] == value["high"]:
        return f"{show(value['point'])} [{NOT_ESTIMABLE}]"
    return f"{show(value['point'])} [{show(value['low'])}, {show(value['high'])}]"


def retained(share: Mapping[str, Any] | None) -> str:
    """A retained share of the gain with its bounds; None where no share is named.

    Without bounds where the network is the same: nothing is left to chance.
    """
    if share is None:
        return NOT_MEANINGFUL
    if share["low"] == share["high"]:
        return percent(share["point"], 0)
    return interval(share, share=True)


def span(value: Mapping[str, Any]) -> str:
    """The bounds alone, in points: +0.40 to +2.00."""
    if value["low"] == value["high"]:
        return NOT_ESTIMABLE
    return f"{points(value['low'])} to {points(value['high'])}"


def p_value(p: float | None) -> str:
    """A p-value to three digits; with several pairs there is none."""
    if p is None:
        return "no test"
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def milliseconds(seconds: float) -> str:
    """Seconds as milliseconds, three digits that count."""
    value = 1000 * seconds
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def size(value: float) -> str:
    """Bytes in decimal units."""
    for unit in ("bytes", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.2f} {unit}"
        value /= 1000
    return f"{value:.2f} GB"


def level(value: Mapping[str, Any]) -> str:
    """The confidence level of an interval."""
    return f"{100 * value.get('level', 0.95):.0f} %"
