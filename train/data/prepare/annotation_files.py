"""Reading annotation files: found by name at any depth, and all that is wrong told at once."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from infer.system.errors import ClipDuetError, listed, os_reason
from train.data.prepare.walk import walk

SHOWN = 20


class AnnotationError(ClipDuetError):
    """Annotation files that are missing, or that do not say what they should."""


def find_files(
    folder: Path, wanted: dict[str, list[str]], *, optional: Sequence[str] = ()
) -> tuple[dict[str, Path], tuple[str, ...]]:
    """The first file below `folder` that bears one of the names, and what is not there."""
    there: dict[str, Path] = {}
    for path in sorted(files_below(folder), key=lambda path: (len(path.parts), path)):
        there.setdefault(path.name, path)
    found = {
        role: there[name]
        for role, names in wanted.items()
        if (name := next((name for name in names if name in there), None))
    }
    lacking = [role for role in wanted if role not in found]
    missing = [wanted[role][0] for role in lacking if role not in optional]
    if missing:
        raise AnnotationError(f"{folder} lacks {', '.join(missing)}")
    return found, tuple(lacking)


def files_below(folder: Path) -> Iterator[Path]:
    """Every file of a folder, at any depth."""
    return (Path(root, name) for root, _, names in walk(folder) for name in names)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise AnnotationError(f"{file} cannot be read: {os_reason(error)}") from error


def numbered_lines(file: Path) -> Iterator[tuple[int, str]]:
    """The lines that hold something, with their numbers."""
    for number, line in enumerate(_text(file).splitlines(), start=1):
        if line.strip():
            yield number, line.strip()


def csv_rows(
    file: Path, needed: Sequence[str], problems: list[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Lines of comma-separated values by the names in the header, with their line numbers.

    What is wrong is added to the problems. No value of an official file has a line break in it, so
    that a stray quote spoils one line only.
    """
    header: list[str] = []
    for number, line in numbered_lines(file):
        try:
            (values,) = csv.reader([line], strict=True)
        except csv.Error as error:
            problems.append(f"{file}:{number}: is not comma-separated: {error}")
            if not header:
                return
            continue
        if header:
            yield number, dict(zip(header, values, strict=False))
            continue
        header = values
        if lacking := [name for name in needed if name not in header]:
            problems.append(f"{file}:{number}: the header lacks {', '.join(lacking)}")
            return


def check_unique(file: Path, names: Iterable[str]) -> None:
    """Raise AnnotationError for names that come more than once."""
    repeated = sorted(name for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise AnnotationError(f"{file} names classes more than once: {', '.join(repeated)}")


def id_pairs(file: Path) -> Iterator[tuple[str, str]]:
    """`id;label` a line; without a label it is empty."""
    for _, line in numbered_lines(file):
        key, _, name = line.partition(";")
        yield key.strip(), name.strip()


def json_content(file: Path, kind: Callable[..., Any]) -> Any:
    """A list, or a dictionary by the names of the classes."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        check_unique(file, (name for name, _ in pairs))
        return dict(pairs)

    try:
        value = json.loads(_text(file), object_pairs_hook=unique if kind is dict else None)
    except ValueError as error:
        raise AnnotationError(f"{file} is not JSON: {error}") from error
    if type(value) is not kind:
        raise AnnotationError(f"{file} is not the official file: it holds no {kind.__name__}")
    return value


def raise_all(problems: Iterable[str]) -> None:
    """Raise AnnotationError with the problems, if there are any."""
    problems = list(problems)
    if problems:
        raise AnnotationError(listed("the annotations cannot be used", problems, most=SHOWN))
