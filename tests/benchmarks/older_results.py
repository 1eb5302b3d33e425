"""Results of a gate as older versions of their file hold them."""

from __future__ import annotations

import copy
from typing import Any


def as_version_2(results: dict[str, Any]) -> dict[str, Any]:
    """A file as it was before: another rule, and less beside its verdicts."""
    old = copy.deepcopy(results) | {"format_version": 2}
    for row in old["cells"]:
        found, is_reference = row["verdict"], row["verdict"]["verdict"] == "reference"
        real = old["cells"][0]["gain"]["distinguishable"]
        row["verdict"] = (
            {"verdict": "reference", "gain_is_real": real, "clips_needed": None}
            if is_reference
            else {
                "verdict": "fail",
                "kept": found["kept"] if real else None,
                "change": found["change"],
                "same_network": found["same_network"],
                "one_class": False,
                "clips_needed": 999,
                "pairs_needed": None,
            }
        )
    return old


def as_version_3(results: dict[str, Any]) -> dict[str, Any]:
    """A file as it was before it had measures besides top-1."""
    old = copy.deepcopy(results) | {"format_version": 3}
    for row in old["cells"]:
        del row["flips"]
        row["verdict"].pop("collapsed_classes", None)
        for part in (row["baseline"], row["student"]):
            del part["classes"]
            for name in ("flips", "calibration"):
                part.pop(name, None)
    return old
