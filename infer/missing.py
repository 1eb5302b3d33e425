"""Say which packages a command misses, instead of a traceback from the first import that fails."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence


def need(packages: Sequence[str], *, extra: str) -> None:
    """In the ``__init__`` of a package: end a ``python -m`` of one of its modules with advice.

    Only then: a program that imports the package may well do without some of them.

    Args:
        packages: names to import.
        extra: of this project, which brings them.

    Raises:
        SystemExit: status 2; some cannot be found.
    """
    # While `python -m` looks for its module, that is what stands in place of the name.
    if sys.argv[:1] != ["-m"]:
        return
    missing = [name for name in packages if importlib.util.find_spec(name) is None]
    if missing:
        print(f"error: {advice(', '.join(missing), extra=extra)}", file=sys.stderr)
        raise SystemExit(2)


def advice(missing: str, *, extra: str = "") -> str:
    """What to do about packages that are not there; ``extra``: of this project, or the base."""
    what = f"'.[{extra}]'" if extra else "."
    return (
        f"{sys.executable} does not have {missing}: pip install -c constraints.txt {what}, or run "
        "`make setup` and take .venv/bin/python"
    )
