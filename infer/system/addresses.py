"""Addresses (https://...), which are no files: where a file is named, none is opened."""

from __future__ import annotations

import re
from pathlib import Path

NOT_READ = "an address: addresses are read by `clipduet stream`; or download it and name the file"

# `Path` makes one slash of two. One letter is a drive of Windows.
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+")


def is_address(name: str | Path) -> bool:
    """Whether a name that is no file's looks like an address."""
    return _ADDRESS.match(str(name)) is not None


def shown_path(path: Path) -> str:
    """A path as it was given: of an address with both slashes."""
    return _ADDRESS.sub(r"\1://", str(path), count=1) if is_address(path) else str(path)
