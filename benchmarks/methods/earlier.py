"""What an earlier study of methods has already found, so that a long one can grow over days.

Answers and costs lie in its result file, so a method need not be trained again although its run is
gone: on the same kind of processor, with the same Paddle, configs, seeds and clips.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import read

FORMAT, FORMAT_VERSION = "clipduet-methods", 4


def valid_rows(
    stored: Mapping[str, Any],
    *,
    file: Path,
    given: Mapping[str, Any],
    seeds: Sequence[int],
    recipes: Mapping[str, str],
    measured: Sequence[str],
) -> list[dict[str, Any]]:
    """The rows of a result file that hold for this study as well.

    Args:
        stored: what the file holds.
        file: its name, for messages.
        given: what else must be equal, as the file's `given` has it.
        seeds: of the study; a row must have them all.
        recipes: checksum of every method's config, and of what it builds on, by name; a method
            that is not here has lost its config.
        measured: methods that this study measures, whatever was found before.

    Raises:
        BenchmarkError: rows of other methods do not hold any more and would be lost.
    """
    rows = stored["methods"]
    other = [
        f"{key} is {_short(given[key])} and was {_short(was)}"
        for key, was in stored["given"].items()
        if given.get(key) != was
    ]
    reasons = {row["method"]: other or _changed(row, seeds, recipes) for row in rows}
    if any(row["is_baseline"] and reasons[row["method"]] for row in rows):
        (baseline,) = [row["method"] for row in rows if row["is_baseline"]]
        reasons = dict.fromkeys(reasons, reasons[baseline])
    lost = {name: why for name, why in reasons.items() if why and name not in measured}
    if lost:
        why = "; ".join(dict.fromkeys(reason for found in lost.values() for reason in found))
        raise BenchmarkError(
            f"{file} holds {', '.join(lost)}, which would be lost, since {why}. Name them too to "
            "measure them again, move the file away, or give another --out"
        )
    return [row for row in rows if not reasons[row["method"]]]


def stored_study(file: Path) -> dict[str, Any] | None:
    """A result file, or None where there is none.

    Raises:
        BenchmarkError: it is something else, or of another version, and would be overwritten.
    """
    if not file.exists():
        return None
    try:
        return read(
            file, format=FORMAT, versions=(FORMAT_VERSION,), made_by="make study METHODS=..."
        )
    except BenchmarkError as error:
        raise BenchmarkError(
            f"{error}; it would be overwritten: move it away, or give another --out"
        ) from error


def conditions(
    data: Mapping[str, Any], *, overrides: Sequence[str], checkpoint: str
) -> dict[str, Any]:
    """What two studies must share for their rows to stand in one table."""
    here = machine.machine()
    return {
        "overrides": list(overrides),
        "checkpoint": checkpoint,
        "test clips": data["clips_sha256"],
        "training clips": data["training_sha256"],
        "processor": f"{here['cpu']} ({' '.join(here['cpu_features'])})",
        "Paddle": here["packages"].get("paddlepaddle"),
    }


def _changed(row: Mapping[str, Any], seeds: Sequence[int], recipes: Mapping[str, str]) -> list[str]:
    """Why a row does not hold any more."""
    name, reasons = row["method"], []
    if name not in recipes:
        reasons.append(f"there is no {row['config']} any more")
    elif recipes[name] != row["recipe_sha256"]:
        reasons.append(f"the config of {name}, or one it builds on, has changed")
    missing = sorted(set(seeds) - {run["seed"] for run in row["runs"]})
    if missing:
        reasons.append(f"seeds {', '.join(map(str, missing))} were not in it")
    return reasons


def _short(value: Any) -> str:
    text = " ".join(value) if isinstance(value, list) else str(value)
    # A checksum says enough with its beginning.
    return text[:12] if len(text) == 64 and " " not in text else text or "none"
