"""The folder of this user for what can be made or fetched again."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

CACHE = "CLIPDUET_CACHE"
"""Variable of the environment that names another folder."""


def cache_folder(name: str, environment: Mapping[str, str] = os.environ) -> Path:
    """The folder of one kind of files in it; it may not be there yet.

    Args:
        name: of the kind.
        environment: variables.

    Raises:
        RuntimeError: the user has no home folder, and no variable says another.
    """
    own = environment.get(CACHE)
    if own:
        return Path(own) / name
    base = environment.get("XDG_CACHE_HOME", "")
    # The standard says that a relative path does not count.
    home = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    return home / "clipduet" / name
