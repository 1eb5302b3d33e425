"""Files of class names, in the forms that public datasets have them.

One name a line, or a number and a name, or a name and a number: `0 abseiling`, `1,abseiling`,
`abseiling 0`. Numbers begin at 0 or at 1, in any order; a first line such as `id,name` is a
header. Names may hold spaces, and stand in quotes. JSON is a list of names, or an object of names
and numbers.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from infer.system.errors import ClipDuetError, os_reason

_FIRST = re.compile(r"(\d+)(?:\s*[,;:\t]\s*|\s+)(\S.*)", re.ASCII)
_LAST = re.compile(r"(.*\S)(?:\s*[,;:\t]\s*|\s+)(\d+)", re.ASCII)
_HEADS = frozenset(
    ("id", "index", "label", "class", "name", "number", "class_id", "class_name", "label_id")
)
_QUOTES = "\"'"


class ClassFileError(ClipDuetError):
    """A file that does not say which classes there are."""


def read_class_names(file: Path) -> list[str]:
    """The names by label.

    Raises:
        ClassFileError: the file cannot be read, names no class, or one twice, or numbers them in
            no order that can be followed.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ClassFileError(f"{file} cannot be read: {os_reason(error)}") from error
    try:
        names = _of_json(text) if file.suffix.lower() == ".json" else parse_class_names(text)
    except ValueError as error:
        raise ClassFileError(f"{file} {error}") from None
    if not names:
        raise ClassFileError(f"{file} names no class")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise ClassFileError(f"{file} names a class twice: {', '.join(twice[:5])}")
    return names


def parse_class_names(text: str) -> list[str]:
    """The names that the lines of a text file stand for, by label.

    Raises:
        ValueError: some lines are numbered, but not all of them, or not from 0 or 1 on.
    """
    lines = [line.strip() for line in text.split("\n")]
    lines = [line for line in lines if line]
    if len(lines) > 1 and _is_header(lines[0]) and _numbered(lines[1:]) is not None:
        lines = lines[1:]
    pairs = _numbered(lines)
    if pairs is None:
        return [_unquoted(line) for line in lines]
    return _in_order(pairs)


def class_lines(names: Sequence[str]) -> list[str]:
    """Lines of a file that `read_class_names` reads as these names."""
    try:
        if parse_class_names("\n".join(names)) == list(names):
            return list(names)
    except ValueError:
        pass
    return ['"' + name.replace('"', '""') + '"' for name in names]


def _numbered(lines: Sequence[str]) -> list[tuple[int, str]] | None:
    """Numbers and names of lines that have both; None of lines of names alone.

    Raises:
        ValueError: numbers could stand before or behind the names, or are not those of classes.
    """
    first = [_FIRST.fullmatch(line) for line in lines]
    last = [_LAST.fullmatch(line) for line in lines]
    leading = [(int(match[1]), match[2]) for match in first if match]
    trailing = [(int(match[2]), match[1]) for match in last if match]
    in_front = len(leading) == len(lines) > 0
    # "Ollie 180" and "camera 1", "camera 2" are names that end in a number.
    behind = len(trailing) == len(lines) > 0 and _distinct(trailing)
    if in_front and behind and _contiguous(leading) and _contiguous(trailing):
        raise ValueError("has a number at both ends of its lines: quote the names")
    if behind and _contiguous(trailing) and not (in_front and _contiguous(leading)):
        return trailing
    if in_front:
        return leading
    if behind and max(number for number, _ in trailing) <= len(lines):
        return trailing
    if 2 * len(leading) > len(lines):
        odd = next(line for line, match in zip(lines, first, strict=True) if not match)
        raise ValueError(f"numbers its classes, but not {odd!r}: number all, or quote the names")
    return None


def _in_order(pairs: Sequence[tuple[int, str]]) -> list[str]:
    if not _contiguous(pairs):
        numbers = sorted(number for number, _ in pairs)
        raise ValueError(
            f"has lines that begin or end with numbers, from {numbers[0]} to {numbers[-1]}, but "
            f"for {len(pairs)} classes they must be each of 0 to {len(pairs) - 1} once (or 1 to "
            f"{len(pairs)}); where they are part of the names, quote these"
        )
    return [_unquoted(name) for _, name in sorted(pairs)]


def _contiguous(pairs: Sequence[tuple[int, str]]) -> bool:
    numbers = sorted(number for number, _ in pairs)
    return any(numbers == list(range(first, first + len(numbers))) for first in (0, 1))


def _distinct(pairs: Sequence[tuple[int, str]]) -> bool:
    return len({name for _, name in pairs}) == len(pairs)


def _is_header(line: str) -> bool:
    words = [_unquoted(word).lower() for word in re.split(r"[,;:\s]+", line) if word]
    return len(words) == 2 and set(words) <= _HEADS


def _unquoted(name: str) -> str:
    """Without quotes around it; a doubled one within stands for one, as in CSV."""
    if len(name) > 2 and name[0] == name[-1] and name[0] in _QUOTES:
        return name[1:-1].replace(name[0] * 2, name[0])
    return name


def _of_json(text: str) -> list[str]:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    if isinstance(value, list) and all(isinstance(name, str) and name for name in value):
        return [_unquoted(name.strip()) for name in value]
    if isinstance(value, Mapping) and value:
        by_number = all(_is_number(key) for key in value)
        items: Iterable[tuple[object, object]] = value.items()
        pairs = [(key, name) if by_number else (name, key) for key, name in items]
        if all(_is_number(number) and isinstance(name, str) and name for number, name in pairs):
            return _in_order([(int(str(number)), str(name).strip()) for number, name in pairs])
    raise ValueError("must hold a list of names, or an object of names and their numbers")


def _is_number(value: object) -> bool:
    return not isinstance(value, bool) and re.fullmatch(r"\d{1,9}", str(value)) is not None
