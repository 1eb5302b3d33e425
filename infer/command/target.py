"""Where results go: to the screen, to a pipe or device as they come, or into a file at the end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..system.errors import ClipDuetError, os_reason
from ..system.files import real_path
from .output import form_of, holds_results

MOST_LINKS = 40
"""Links to links that the system follows."""


@dataclass(frozen=True)
class Target:
    """What `--output` and `--format` say together.

    Attributes:
        named: the path, as it was given; None: standard output.
        form: `table`, `array`, `jsonl` or `csv`.
        is_file: whether a file is written at the end, not a stream as results come.
        overwrite: whether a file is replaced that holds something else than results.
    """

    named: str | None
    form: str
    is_file: bool
    overwrite: bool = False


def target_of(output: str | None, asked: str | None, *, overwrite: bool = False) -> Target:
    """Where results go, and how they are written.

    Args:
        output: as it was given.
        asked: the format; None: by the suffix.
        overwrite: see `Target`.
    """
    form = form_of(asked, output)
    if output in (None, "-") or _is_standard_output(str(output)):
        return Target(None, form, False)
    path = Path(str(output))
    stream = path.exists() and not path.is_file() and not path.is_dir()
    return Target(output, form, not stream, overwrite)


def checked_path(target: Target, *, videos: Sequence[Path], bundle: Path) -> Path:
    """The path that a target's name leads to now; it is no input, and can be written.

    Args:
        target: one that is not standard output.
        videos: that are read.
        bundle: its folder.

    Raises:
        ClipDuetError: results must not, or cannot, be written there.
    """
    named = str(target.named)
    path = real_path(named)
    if path.is_file() and _names_open_file(named):
        raise ClipDuetError(
            f"--output {named} leads to {path}, which is open elsewhere; name the file, or - for "
            "standard output"
        )
    if path.exists() and str(path) in map(os.path.realpath, videos):
        raise ClipDuetError(f"--output {named} is one of the videos; name another file")
    if Path(os.path.realpath(bundle)) in path.parents:
        raise ClipDuetError(f"--output {named} lies in the bundle; name another file")
    if target.is_file:
        _check_place(named, path)
        if not target.overwrite:
            _check_content(named, path)
    return path


def _check_place(named: str, path: Path) -> None:
    folder = Path(named).absolute().parent
    what = ""
    if path.is_dir():
        what = "is a folder"
    elif path.exists() and not path.is_file():
        what = "is no file any more"
    elif not folder.is_dir():
        what = f"the folder {Path(named).parent} is not there"
    if what:
        raise ClipDuetError(f"--output {named}: {what}; name a file in a folder that exists")


def _check_content(named: str, path: Path) -> None:
    try:
        replaceable = not path.exists() or holds_results(path)
    except OSError as error:
        raise ClipDuetError(f"--output {named} cannot be read: {os_reason(error)}") from error
    if not replaceable:
        raise ClipDuetError(
            f"--output {named} is there, and holds something else than results of this command: "
            "name another file, or add --overwrite"
        )


def _is_standard_output(output: str) -> bool:
    """Whether a path such as /dev/stdout leads to the file that standard output is open on.

    If that file were exchanged, what others have written there and go on writing would be lost.
    """
    try:
        return os.path.samestat(os.stat(output), os.fstat(1))
    except (OSError, ValueError):
        return False


def _names_open_file(output: str) -> bool:
    """Whether a path leads to its file through a descriptor of a process, as /dev/fd/3 does.

    Links of that kind lie in /proc; a folder there that is one, such as /proc/self/cwd, is not.
    """
    path = output
    for _ in range(MOST_LINKS):
        folder, name = os.path.split(os.path.abspath(path))
        folder = os.path.realpath(folder)
        if folder.startswith("/proc/"):
            return True
        try:
            path = os.path.join(folder, os.readlink(os.path.join(folder, name)))
        except OSError:
            return False
    return False
