"""Changes of a bundle.json: everything in it, one after the other, made something else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from infer.bundle.manifest import CHECKSUM, checksum

Place = tuple[Any, ...]
"""Keys and indices, from the outermost in."""

EVIL: dict[str, Any] = {
    "null": None,
    "true": True,
    "a text": "x",
    "no text": "",
    "a list": [],
    "a mapping": {},
    "below zero": -1,
    "huge": 10**30,
    "a fraction": 0.5,
    "NUL": "a\0b",
    "half a character": "a\ud800",
    "a list of null": [None],
    "nested": {"a": [{"b": None}]},
    "100 levels": json.loads("[" * 100 + "]" * 100),
    "infinite": float("inf"),
    "no number": float("nan"),
}
NEVER = ("NUL", "half a character", "100 levels", "infinite", "no number")
"""Wrong wherever they stand."""


def contents(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "bundle.json").read_text())
    return found


def put(folder: Path, data: object) -> None:
    (folder / "bundle.json").write_text(json.dumps(data))


def places(value: object, at: Place = ()) -> Iterator[Place]:
    """The path to everything in a JSON value, itself left out."""
    children: Any = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for key, child in children:
        yield (*at, key)
        yield from places(child, (*at, key))


def at(data: Any, place: Place) -> Any:
    for key in place:
        data = data[key]
    return data


def changed(data: dict[str, Any], place: Place, value: object) -> dict[str, Any]:
    out = copy.deepcopy(data)
    at(out, place[:-1])[place[-1]] = value
    return out


def without(data: dict[str, Any], place: Place) -> dict[str, Any]:
    out = copy.deepcopy(data)
    del at(out, place[:-1])[place[-1]]
    return out


def near(value: object) -> object:
    """Another value of the same kind."""
    match value:
        case bool():
            return not value
        case int() | float():
            return value + 1
        case str():
            return value[::-1] if value[::-1] != value else value + "x"
        case list():
            return value[::-1] if value[::-1] != value else [*value, *value[:1]]
        case dict():
            return {**value, "added": 1}
    return 1


def resealed(data: dict[str, Any]) -> dict[str, Any]:
    """As someone writes it who knows how the checksum is made."""
    try:
        return {**data, CHECKSUM: checksum(data)}
    except ValueError:  # NaN and infinities have none
        return {key: value for key, value in data.items() if key != CHECKSUM}
