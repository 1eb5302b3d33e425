"""Result files: JSON that is written whole or not at all, and read with its format checked."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.common.errors import BenchmarkError
from infer.system.errors import os_reason
from infer.system.limited_files import read_text
from infer.system.terminal import printable

MOST_BYTES = 2**30

# An array of plain numbers, spread over lines by json.dumps. A string holds no raw line break, so
# this never matches inside one.
_NUMBER = r"-?\d[\d.eE+-]*"
_NUMBERS = re.compile(rf"\[\n\s*{_NUMBER}(?:,\n\s*{_NUMBER})*\n\s*\]")
_SURROGATE = re.compile("[\ud800-\udfff]")


def header(format: str, version: int) -> dict[str, Any]:
    """What a result file begins with: its format, when it was made, and by what command."""
    return {
        "format": format,
        "format_version": version,
        "created": machine.now(),
        "command": machine.command_line(),
    }


def beside(results: Path, name: str) -> Path:
    """Where a file lies that belongs to a result file: of `a.json` it is `a.NAME`."""
    return results.with_name(name if results.stem == "results" else f"{results.stem}.{name}")


def shown_paths(paths: Sequence[str | Path], root: Path | None) -> list[str]:
    """Paths of clips as a result file names them: below the list's root, else as they are."""
    return [shown_path(path, root) for path in paths]


def shown_path(path: str | Path, root: Path | None) -> str:
    """A path below the list's root, else as it is."""
    try:
        named = Path(path).relative_to(root) if root is not None else path
    except ValueError:
        named = path
    return os.fspath(named)


def dump(value: Any) -> str:
    """JSON, two spaces deep, arrays of numbers on one line without blanks.

    Such arrays are most of a result file: an answer of each model to each clip.
    """
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    # A byte of a file's name that is no UTF-8 is half a character in Python, which no file takes.
    text = _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)
    return _NUMBERS.sub(lambda match: re.sub(r"\s+", "", match[0]), text) + "\n"


def parse_printable(text: str) -> Any:
    r"""The value of a JSON text, its strings as they can be shown.

    Control characters, terminal codes and half characters become escapes, such as `\x1b`: what is
    read here ends in pages and on terminals.

    Raises:
        ValueError: it is not JSON.
        RecursionError: it is nested too deep.
    """
    return _shown(json.loads(text))


def _shown(value: Any) -> Any:
    if isinstance(value, str):
        return printable(value, keep="\n\t")
    if isinstance(value, list):
        return [_shown(one) if isinstance(one, (str, list, dict)) else one for one in value]
    if isinstance(value, dict):
        return {printable(key): _shown(one) for key, one in value.items()}
    return value


def read(path: Path, *, format: str, versions: Collection[int], made_by: str) -> dict[str, Any]:
    """Read a result file.

    Args:
        path: of the file.
        format: what its `format` must be.
        versions: what its `format_version` may be.
        made_by: the command that makes such a file, for the error.

    Raises:
        BenchmarkError: missing, not JSON, or of another format or version.
    """
    try:
        value = parse_printable(read_text(path, most=MOST_BYTES))
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be read ({os_reason(error)}); make it with `{made_by}`"
        ) from error
    except (ValueError, RecursionError) as error:
        raise BenchmarkError(f"{path} is not a result file: {error}") from error
    if not isinstance(value, dict) or value.get("format") != format:
        found = value.get("format") if isinstance(value, dict) else type(value).__name__
        raise BenchmarkError(f"{path} is not a {format} file (format: {found!r})")
    if value.get("format_version") not in versions:
        raise BenchmarkError(
            f"{path} has format version {value.get('format_version')!r}; this program reads "
            f"{max(versions)}. Run the benchmark again"
        )
    return value


@contextmanager
def complete(path: Path) -> Iterator[None]:
    """Turn what a missing or malformed part of a result file raises into a message.

    Raises:
        BenchmarkError: instead of KeyError, TypeError, AttributeError, IndexError, StopIteration.
    """
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, StopIteration) as error:
        raise BenchmarkError(
            f"{path} lacks a part of a result file or has it in another form ({error!r}): it was "
            "changed by hand or is damaged"
        ) from error
