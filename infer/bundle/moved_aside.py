"""Where a bundle lies that was moved aside: what an export leaves that is killed while it replaces.

Where the system can exchange two folders in one step there is never such a moment; where it cannot,
the old bundle is renamed to `.NAME.<8 hex digits>.previous` before the new one takes its name.
"""

from __future__ import annotations

import os
import re
import shlex
from pathlib import Path


def leftovers(target: Path) -> list[Path]:
    """Folders beside a bundle's folder that an export of it made: `.partial` and `.previous`.

    Raises:
        OSError: the folder that they lie in cannot be read.
    """
    # Numbers of processes, as in earlier versions, or random ones.
    name = re.compile(rf"\.{re.escape(target.name)}\.(\d+|[0-9a-f]{{8}})\.(partial|previous)")
    return [path for path in target.parent.iterdir() if name.fullmatch(path.name)]


def newest(folders: list[Path]) -> Path:
    """Of several bundles that were moved aside, the last one that was in use."""
    return max(folders, key=lambda path: path.stat().st_mtime)


def moved_note(folder: str | Path) -> str:
    """What to say of a bundle that is not there but lies beside it; "" if none does.

    Only reading: whoever looks for a bundle may not write there.
    """
    target = Path(os.path.realpath(folder))
    try:
        aside = [path for path in leftovers(target) if path.suffix == ".previous"]
        if target.exists() or not aside:
            return ""
        found = newest(aside)
    except OSError:
        return ""
    back = shlex.join(["mv", str(found), str(target)])
    return (
        f"; an export that was killed while it replaced this bundle left it in {found}. "
        f"To put it back: {back} (the next export to this folder does so too)"
    )
