"""JSON read strictly, from files that may be anything: damaged, huge, or made to do harm.

What JSON leaves open, and Python's reader allows, is refused: a key twice in one object, NaN and
infinities, text that is not Unicode, values nested without end.
"""

from __future__ import annotations

import errno
import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from .errors import os_reason
from .limited_files import read_bytes

MOST_BYTES = 64 << 20
"""Far above any description of a bundle; reading more would only fill memory."""
MOST_LEVELS = 64
SHOWN = 20
"""Problems of one file that are listed; the rest is counted."""


class JsonProblem(ValueError):
    """Why a file is not usable JSON, without its name."""


def read_json(path: Path) -> Any:
    """The value that a JSON file holds.

    Raises:
        FileNotFoundError, NotADirectoryError: there is no such file.
        JsonProblem: it cannot be read, or is not strictly JSON.
    """
    try:
        data = read_bytes(path, most=MOST_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        raise
    except OSError as error:
        wrong = {
            errno.EINVAL: "is not a regular file",
            errno.EISDIR: "is not a regular file",
            errno.EFBIG: f"is larger than {MOST_BYTES >> 20} MiB",
        }
        problem = wrong.get(error.errno or 0, f"cannot be read: {os_reason(error)}")
        raise JsonProblem(problem) from None
    except ValueError as error:
        raise JsonProblem(f"is not a usable file name: {error}") from None
    return parse_json(data)


def parse_json(data: bytes) -> Any:
    """The value of a JSON text in UTF-8.

    Raises:
        JsonProblem: it is not strictly JSON.
    """
    twice: list[str] = []

    def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                twice.append(key)
            found[key] = value
        return found

    def no_constant(name: str) -> Any:
        raise JsonProblem(f"cannot be read: {name} is not a JSON number")

    try:
        value = json.loads(
            data.decode("utf-8"), object_pairs_hook=no_key_twice, parse_constant=no_constant
        )
    except RecursionError:
        raise JsonProblem(f"is nested deeper than {MOST_LEVELS} levels") from None
    except JsonProblem:
        raise
    except ValueError as error:
        raise JsonProblem(f"cannot be read: {error}") from None
    if twice:
        raise JsonProblem(f"has keys twice in one object: {', '.join(map(shown, twice[:SHOWN]))}")
    return value


def value_problems(value: object) -> list[str]:
    """What no description may hold, wherever it is, one line each with its place."""
    found = list(islice(_value_problems(value), SHOWN + 1))
    if len(found) > SHOWN:
        return [*found[: SHOWN - 1], f"{found[SHOWN - 1]}, and more of that kind"]
    return found


def _value_problems(value: object) -> Iterator[str]:
    waiting: list[tuple[str, int, object]] = [("", 0, value)]
    while waiting:
        where, level, one = waiting.pop()
        if level > MOST_LEVELS:
            yield f"{where[:80]}... is nested deeper than {MOST_LEVELS} levels"
            return
        if isinstance(one, dict):
            dot = "." if where else ""
            for key in one:
                wrong = _text_problem(key) if isinstance(key, str) else "is no text"
                if wrong:
                    yield f"the key {shown(key)} of {where or 'the file'} {wrong}"
            inside = [(f"{where}{dot}{shown_key(key)}", level + 1, v) for key, v in one.items()]
            waiting += reversed(inside)
        elif isinstance(one, list | tuple):
            waiting += reversed([(f"{where}[{k}]", level + 1, v) for k, v in enumerate(one)])
        elif isinstance(one, str):
            wrong = _text_problem(one)
            if wrong:
                yield f"{where} {wrong}: {shown(one)}"
        elif isinstance(one, float) and not math.isfinite(one):
            yield f"{where} is {one}; allowed: finite numbers"


def _text_problem(text: str) -> str | None:
    if "\0" in text:
        return "has a NUL character in it"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return "has half of a character (a lone surrogate) in it"
    return None


def shown(value: object) -> str:
    """A value in an error message: of a long one the beginning, and never an error of its own."""
    try:
        text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    except (RecursionError, ValueError):
        return f"a {type(value).__name__} too large to show"
    return text if len(text) <= 80 else f"{text[:60]}... ({type(value).__name__})"


def shown_key(key: object) -> str:
    """A key as part of a place in an error message."""
    text = str(key)
    return text if text.isprintable() and len(text) <= 80 else shown(text)
