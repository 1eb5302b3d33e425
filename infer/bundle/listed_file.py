"""What `bundle.json` must say of a file beside it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePosixPath

from ..system.strict_json import shown
from ..system.whole_numbers import is_whole

MOST_BYTES = 1 << 50


def file_problems(where: str, data: object) -> list[str]:
    """Everything wrong with the entry of a file, one line each; `where` it stands."""
    if not isinstance(data, Mapping):
        return [f"{where} is not a mapping"]
    out = []
    name = data.get("file")
    inside = isinstance(name, str) and is_text(name) and "\\" not in name
    if inside:
        path = PurePosixPath(str(name))
        inside = not path.is_absolute() and ".." not in path.parts and path.name != ""
    if not inside:
        out.append(f"{where}.file is {shown(name)}; allowed: a file inside the bundle")
    if not is_whole(data.get("bytes"), 0, MOST_BYTES):
        out.append(f"{where}.bytes is {shown(data.get('bytes'))}; allowed: a whole number from 0")
    if not is_text(data.get("sha256")) or not re.fullmatch(r"[0-9a-f]{64}", data["sha256"]):
        out.append(f"{where}.sha256 is {shown(data.get('sha256'))}; allowed: 64 hex digits")
    return out


def is_text(value: object) -> bool:
    """Whether a value is a text that is not empty."""
    return isinstance(value, str) and bool(value)
