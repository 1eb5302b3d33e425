"""The networks of a MODEL block, by role."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from train.config.errors import Location
from train.config.schema.model import STUDENT


def blocks_of(model: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The networks' settings by role, in the order of the config."""
    if model["framework"] == "Recognizer2D":
        return {STUDENT: model}
    return {role: block for entry in model["models"] for role, block in entry.items()}


def places_of(model: Mapping[str, Any]) -> dict[str, Location]:
    """Where the config has the networks' settings, by role."""
    if model["framework"] == "Recognizer2D":
        return {STUDENT: ("MODEL",)}
    entries = enumerate(model["models"])
    return {role: ("MODEL", "models", index, role) for index, entry in entries for role in entry}
