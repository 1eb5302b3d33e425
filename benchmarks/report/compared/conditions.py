"""What differs between the conditions of two results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.pages import numbers
from benchmarks.pages.parts import Section, Table, machine_rows

NAMES = {"its features": "processor features", "versions": "versions of the packages"}

Results = Mapping[str, Any]


def conditions_section(results: Sequence[Results]) -> Section:
    """Conditions in which two results differ as a table; the names of those that are equal."""
    a, b = (_conditions(one) for one in results)
    names = list(dict.fromkeys([*a, *b]))
    other = [name for name in names if a.get(name) != b.get(name)]
    equal = [name for name in names if name not in other]
    rows = [[name, a.get(name, numbers.NONE), b.get(name, numbers.NONE)] for name in other]
    sentences = [f"Equal in both: {numbers.joined(equal)}."] if equal else []
    tables = [Table("What differs", ["what", "A", "B"], rows)] if rows else []
    return Section("Conditions", sentences, (), tables)


def _conditions(results: Results) -> dict[str, str]:
    given, data, rule = results["conditions"], results["data"], results["rule"]
    students = [pair["student"] for pair in results["pairs"]]
    origins = [one["origin"] for one in students]
    host = given["machine"]
    return {
        "student": ", ".join(one["name"] for one in students),
        "config": ", ".join(dict.fromkeys(str(one.get("config", "unknown")) for one in origins)),
        "seeds": ", ".join(str(one.get("seed", "unknown")) for one in origins),
        "checkpoints (SHA-256)": ", ".join(_checkpoint(one) for one in origins),
        "test list": data["list"],
        "clips": f"{data['listed']:,}",
        "clips that could not be read": f"{len(data['failed']):,}",
        "clips (SHA-256)": str(data.get("clips_sha256", "not recorded"))[:16],
        "clip": " × ".join(str(n) for n in data["clip_shape"]),
        "reference": numbers.cell_name(results["reference"]),
        "rule": f"{100 * rule['keep']:g} %, {100 * rule['margin']:g} points",
        **{NAMES.get(name, name): value for name, value in machine_rows(host)},
        "threads": str(given["threads"]),
        "date": results["created"],
        "command": results["command"],
    }


def _checkpoint(origin: Mapping[str, Any]) -> str:
    found = origin.get("checkpoint")
    return str(found.get("sha256", "unknown"))[:16] if isinstance(found, Mapping) else "unknown"
