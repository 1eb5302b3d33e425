"""How the pictures of a folder of frames are named and numbered."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

SUFFIX = "img_{:05}.jpg"
"""PaddleVideo's default pattern of the pictures' names."""
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
"""Suffixes of pictures, in small letters, that numberings are looked for in."""
_NUMBERED = re.compile(r"(.*?)(\d+)(\.\w+)", re.ASCII)


def numberings(names: Iterable[str]) -> list[str]:
    """Patterns, as `SUFFIX` is one, by which pictures of a folder are numbered from 0 or 1.

    Args:
        names: of the files in the folder.

    Returns:
        `SUFFIX` alone where its first picture is there; else each pattern of which two pictures
        are there that follow one another; else the pattern of a picture 0 or 1 that is named by
        its number alone, if all other pictures have it too.
    """
    there = set(names)
    if not there.isdisjoint((SUFFIX.format(0), SUFFIX.format(1))):
        return [SUFFIX]
    pictures = [name for name in there if os.path.splitext(name)[1].lower() in PICTURES]
    found, firsts = set(), set()
    for name in pictures:
        match = _NUMBERED.fullmatch(name)
        if match is None or int(match[2][-9:]) > 1:
            continue
        prefix, digits, suffix = match.groups()
        prefix = prefix.replace("{", "{{").replace("}", "}}")
        pattern = f"{prefix}{{:0{len(digits)}}}{suffix}"
        first = int(digits)
        if pattern.format(first) != name:
            continue
        if pattern.format(first + 1) in there:
            found.add(pattern)
        elif not prefix and all(_has(pattern, other) for other in pictures):
            firsts.add(pattern)
    return sorted(found or firsts)


def _has(pattern: str, name: str) -> bool:
    """Whether a pattern without text before the number gives a name."""
    number = _NUMBERED.fullmatch(name)
    return number is not None and not number[1] and pattern.format(int(number[2][-9:])) == name
