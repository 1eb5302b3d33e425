"""Commands that install what is missing, as they work where this package runs."""

from __future__ import annotations

from pathlib import Path

PROJECT = "clipduet"


def in_checkout() -> bool:
    """Whether this runs in a checkout: an installed package has no make targets and no pins."""
    return (Path(__file__).resolve().parents[2] / "Makefile").is_file()


def pip_install(
    package: str = "", *, extra: str = "", options: str = "", pinned: bool = True
) -> str:
    """The command that installs a package, or this project.

    Args:
        package: its name; "": this project.
        extra: of this project.
        options: of pip.
        pinned: whether constraints.txt, which a checkout has, holds its version.
    """
    checkout = in_checkout()
    own = "." if checkout else PROJECT
    what = package or (f"'{own}[{extra}]'" if extra else own)
    pins = "-c constraints.txt" if checkout and pinned else ""
    return " ".join(filter(None, ("pip install", options, pins, what)))
