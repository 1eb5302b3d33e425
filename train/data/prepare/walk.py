"""Look through folders, those that are links included."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def walk(top: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """As `os.walk`, into linked folders too, except into one that it lies in itself."""
    places: dict[str, tuple[str, ...]] = {str(top): (os.path.realpath(top),)}
    for root, folders, names in os.walk(top, followlinks=True):
        above = places.pop(root)
        for name in list(folders):
            path = os.path.join(root, name)
            linked = os.path.islink(path)
            place = os.path.realpath(path) if linked else os.path.join(above[-1], name)
            if place in above:
                folders.remove(name)
            else:
                places[path] = (*above, place)
        yield root, folders, names
