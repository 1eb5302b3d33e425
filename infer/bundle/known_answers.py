"""Known answers of a bundle: a few clips, and the logits that its 8-bit files say for them.

The logits are those of the graph as it is written, computed with floats between the roundings. An
engine whose sums saturate on some processor gives others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import TypeGuard

from ..clips.spec import ClipSpec
from ..system.strict_json import shown, shown_key
from .listed_file import file_problems

KNOWN_ANSWERS = "known_answers"
"""Its entry of bundle.json; bundles of earlier versions do not have it."""
KNOWN_CLIPS = "known_clips.rgb"
"""The clips: uint8 [n, T, H, W, 3], their bytes one after the other."""
MOST_CLIPS = 16
LARGEST = 1e30
"""Of a logit; NaN and infinity are none."""


@dataclass(frozen=True)
class KnownAnswers:
    """The entry, checked.

    file, bytes, sha256   of the clips
    logits                by artifact: [n, classes]
    limits                by artifact: how far an engine may be from them, as a share of their
                          size, both as root mean squares
    """

    file: str
    bytes: int
    sha256: str
    logits: Mapping[str, list[list[float]]]
    limits: Mapping[str, float]


def known_answers_of(raw: Mapping[str, object]) -> KnownAnswers | None:
    """What a valid bundle.json has of them; None: nothing."""
    data = raw.get(KNOWN_ANSWERS)
    if not isinstance(data, Mapping):
        return None
    clips = data["clips"]
    place = clips["file"], clips["bytes"], clips["sha256"]
    return KnownAnswers(*place, data["logits"], data["limits"])


def known_answers_problems(
    data: object, artifacts: object, classes: int | None, spec: ClipSpec | None
) -> list[str]:
    """Everything wrong with the entry, one line each.

    Args:
        data: the entry.
        artifacts: those of bundle.json.
        classes: how many it has; None: that is wrong already.
        spec: of the clips; None: that is wrong already.
    """
    if not isinstance(data, Mapping):
        return [f"{KNOWN_ANSWERS} is not a mapping"]
    where = f"{KNOWN_ANSWERS}.clips"
    out = file_problems(where, data.get("clips"))
    logits, limits = data.get("logits"), data.get("limits")
    if not isinstance(logits, Mapping) or not isinstance(limits, Mapping):
        return [*out, f"{KNOWN_ANSWERS}.logits and limits are not mappings of artefacts"]
    if out or classes is None or spec is None:
        return out
    one = prod(spec.clip_shape)
    size = data["clips"]["bytes"]
    count, rest = divmod(size, one)
    if rest or not 1 <= count <= MOST_CLIPS:
        return [f"{where}.bytes is {size}; allowed: 1 to {MOST_CLIPS} times {one}, a clip's bytes"]
    for key, rows in logits.items():
        if not isinstance(artifacts, Mapping) or key not in artifacts:
            out.append(f"{KNOWN_ANSWERS}.logits has {shown_key(key)}, which artifacts lacks")
        limit = limits.get(key)
        if not _is_number(limit) or limit <= 0:
            wrong = f"{KNOWN_ANSWERS}.limits.{shown_key(key)} is {shown(limit)}"
            out.append(f"{wrong}; allowed: a number above 0")
        if not _is_table(rows, count, classes):
            out.append(
                f"{KNOWN_ANSWERS}.logits.{shown_key(key)} is {shown(rows)}; allowed: {count} rows "
                f"of {classes} finite numbers"
            )
    return out


def _is_table(rows: object, count: int, classes: int) -> bool:
    return (
        isinstance(rows, list)
        and len(rows) == count
        and all(isinstance(row, list) and len(row) == classes for row in rows)
        and all(_is_number(value) for row in rows for value in row)
    )


def _is_number(value: object) -> TypeGuard[float]:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return abs(value) <= LARGEST
