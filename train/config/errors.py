"""Mistakes of a config, collected and told in one message: where, which value, what is allowed."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ValidationError

from infer.system.errors import ClipDuetError

Location = tuple[str | int, ...]
"""Keys and list indices from the top of the config to a value."""


MOST_TOLD = 50
"""Mistakes of a config that are spelled out: who reads these knows what is wrong."""
MOST_SHOWN = 500
"""Characters of the longest path of keys, or file, that is spelled out."""
MOST_ALIKE = 100
"""Characters of the longest name that others are compared with."""

_CLASS_COUNTS = {"backbone": "class_num", "head": "num_classes"}
"""What the part of a network that says how many classes there are calls their number."""


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong. `where` may be empty when the whole file is meant."""

    where: Location
    text: str
    origin: str = ""


class ConfigError(ClipDuetError):
    """A config cannot be used; the message and `mistakes` hold everything wrong with it."""

    def __init__(self, source: str, mistakes: Sequence[Mistake]) -> None:
        self.source = source
        self.mistakes = tuple(mistakes)
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        lines = [f"{source}: {count} in the config"]
        lines += [f"  {_line(mistake, source)}" for mistake in mistakes[:MOST_TOLD]]
        if len(mistakes) > MOST_TOLD:
            lines.append(f"  and {len(mistakes) - MOST_TOLD} more")
        super().__init__("\n".join(lines))


def dotted(where: Location) -> str:
    """`MODEL.models.0.Teacher`: a location as overrides write it."""
    return ".".join(str(part) for part in where)


def as_yaml(value: Any) -> str:
    """A value as YAML users know it, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (TypeError, ValueError):
        text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """The allowed name most like `name`, or None if none is alike; case does not matter."""
    if len(name) > MOST_ALIKE:
        return None
    by_lower = {candidate.lower(): candidate for candidate in allowed}
    holding = [candidate for candidate in by_lower if name.lower() in candidate]
    if len(name) >= 4 and len(holding) == 1:
        return by_lower[holding[0]]
    close = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def unknown_name(kind: str, name: object, allowed: Iterable[str]) -> str:
    """`unknown key; did you mean ...?` with the nearest name, else the allowed ones."""
    names = sorted(allowed)
    guess = nearest(str(name), names)
    if guess is not None:
        return f"unknown {kind} {as_yaml(name)}; did you mean {guess}?"
    return f"unknown {kind} {as_yaml(name)}; allowed: {', '.join(names) or 'none'}"


def pydantic_mistakes(error: ValidationError, *, model: type[BaseModel], raw: Any) -> list[Mistake]:
    """Translate what pydantic found in `raw` into mistakes at the user's own paths.

    Args:
        error: what validating `raw` against `model` raised.
        model: the model, whose fields give the nearest names.
        raw: the data as the user wrote it.
    """
    schema = model.model_json_schema()
    mistakes = []
    for number, item in enumerate(error.errors(include_url=False)):
        where = _user_location(item["loc"], raw, item["type"])
        if item["type"] == "union_tag_invalid" or (
            item["type"] == "union_tag_not_found" and isinstance(item["input"], Mapping)
        ):
            where += (item["ctx"]["discriminator"].strip("'"),)
        # Looking for the nearest names takes time, and beyond these they are only counted.
        mistakes.append(Mistake(where, _text(item, schema) if number < MOST_TOLD else item["msg"]))
    return mistakes


def guessed_names(error: ValidationError, raw: Any) -> dict[Location, str]:
    """For every block whose `name` is unknown but like a known one: its location and guess.

    Nothing within such a block was checked, because its name says what belongs there.
    """
    guesses = {}
    for item in error.errors(include_url=False):
        if item["type"] == "union_tag_invalid":
            names = re.findall(r"'([^']*)'", item["ctx"]["expected_tags"])
            guess = nearest(str(item["ctx"]["tag"]), names)
            if guess is not None:
                where = _user_location(item["loc"], raw, item["type"])
                guesses[(*where, item["ctx"]["discriminator"].strip("'"))] = guess
    return guesses


def _line(mistake: Mistake, source: str) -> str:
    path = _on_one_line(dotted(mistake.where))
    text = f"{path}: {mistake.text}" if path else mistake.text
    origin = _on_one_line(mistake.origin.replace(f"{source}:", "line "))
    return f"{text} ({origin})" if origin else text


def _on_one_line(path: str) -> str:
    """Keys, or a file, as they can be shown: a key may hold anything."""
    if len(path) > MOST_SHOWN:
        path = path[: MOST_SHOWN // 2] + "..." + path[-MOST_SHOWN // 2 :]
    return path if path.isprintable() else path.encode("unicode_escape").decode("ascii")


def _user_location(loc: Location, raw: Any, kind: str) -> Location:
    """`loc` without the parts that the user did not write: names of union members."""
    where: list[str | int] = []
    here = raw
    for depth, part in enumerate(loc):
        if _holds(here, part):
            here = here[part]
        elif depth < len(loc) - 1 or kind != "missing":
            continue
        where.append(part)
    return tuple(where)


def _holds(here: Any, part: str | int) -> bool:
    if isinstance(here, list):
        return isinstance(part, int) and part < len(here)
    return isinstance(here, Mapping) and part in here


def _text(item: Any, schema: Mapping[str, Any]) -> str:
    kind, value, context = item["type"], item["input"], item.get("ctx", {})
    wanted = {
        "int_type": "a whole number",
        "float_type": "a number",
        "bool_type": "true or false",
        "string_type": "text",
        "list_type": "a list",
        "tuple_type": "a list",
        "dict_type": "a mapping",
        "model_type": "a mapping",
        "model_attributes_type": "a mapping",
        "finite_number": "a finite number",
    }
    bounds = {
        "greater_than": ("gt", "above"),
        "greater_than_equal": ("ge", "at least"),
        "less_than": ("lt", "below"),
        "less_than_equal": ("le", "at most"),
    }
    if kind == "extra_forbidden":
        *parts, key = item["loc"]
        return _unknown_key(key, parts, _keys_at(schema, item["loc"][:-1]))
    if kind == "missing":
        return "is missing"
    if kind in wanted:
        return f"must be {wanted[kind]}, not {as_yaml(value)}"
    if kind in bounds:
        key, word = bounds[kind]
        return f"must be {word} {context[key]:g}, not {as_yaml(value)}"
    if kind == "literal_error":
        return _not_among(value, context["expected"])
    if kind == "union_tag_invalid":
        return _not_among(context["tag"], context["expected_tags"])
    if kind == "union_tag_not_found":
        if not isinstance(value, Mapping):
            return f"must be a mapping, not {as_yaml(value)}"
        return "is missing"
    if kind in ("too_short", "too_long"):
        low, high = context.get("min_length"), context.get("max_length")
        bound = f"at least {low}" if kind == "too_short" else f"at most {high}"
        return f"must have {bound} entries, not {context['actual_length']}"
    if kind == "value_error":
        return str(context["error"])
    return f"{item['msg']}, not {as_yaml(value)}"


def _unknown_key(key: object, parts: Sequence[str | int], allowed: set[str]) -> str:
    if key in _CLASS_COUNTS.values():
        # Which part of a network says how many classes there are depends on what both are.
        for part, other in (("head", "backbone"), ("backbone", "head")):
            if part in parts and _CLASS_COUNTS[part] not in allowed:
                place = f"{other}.{_CLASS_COUNTS[other]}"
                what = f"unknown key {as_yaml(key)} of {parts[-1]}; the number of classes belongs"
                return f"{what} in {place}, or follows from DATASET.classes: leave it out here"
    return unknown_name("key", key, allowed)


def _not_among(value: Any, expected: str) -> str:
    names = re.findall(r"'([^']*)'", expected)
    guess = nearest(value, names) if isinstance(value, str) else None
    allowed = expected.replace("'", "")
    if guess:
        return f"{as_yaml(value)} is not allowed; did you mean {guess}? Allowed: {allowed}"
    return f"{as_yaml(value)} is not allowed; allowed: {allowed}"


def _keys_at(schema: Mapping[str, Any], loc: Location) -> set[str]:
    """Names of the fields of the model at `loc`, found by walking its JSON schema."""
    nodes = _choices(schema, schema)
    for part in loc:
        nodes = [choice for node in nodes for choice in _step(schema, node, part)]
    return {name for node in nodes for name in node.get("properties", {})}


def _choices(schema: Mapping[str, Any], node: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """What a node of the schema may be, references followed."""
    while "$ref" in node:
        node = schema["$defs"][node["$ref"].rsplit("/", 1)[-1]]
    if "anyOf" in node:
        return [choice for option in node["anyOf"] for choice in _choices(schema, option)]
    return [node]


def _step(
    schema: Mapping[str, Any], node: Mapping[str, Any], part: str | int
) -> list[Mapping[str, Any]]:
    """The nodes one key, index or union tag below a node."""
    below = node.get("discriminator", {}).get("mapping", {}).get(part)
    if "oneOf" in node and part in schema["$defs"]:  # a tag that is the name of its class
        below = f"#/$defs/{part}"
    found = [{"$ref": below}] if below else [node.get("properties", {}).get(part)]
    if found == [None]:
        found = [node.get("items" if isinstance(part, int) else "additionalProperties")]
    return [
        choice for child in found if isinstance(child, dict) for choice in _choices(schema, child)
    ]
