"""Result files: JSON that is written whole or not at all, and read with its format checked."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.common import machine
from benchmarks.common.errors import BenchmarkError
from infer.system.limited_files import read_text

MOST_BYTES = 2**30

# An array of plain numbers, spread over lines by json.dumps. A string holds no raw line break, so
# this never matches inside one.
_NUMBER = r"-?\d[\d.eE+-]*"
_NUMBERS = re.compile(rf"\[\n\s*{_NUMBER}(?:,\n\s*{_NUMBER})*\n\s*\]")


def header(format: str, version: int) -> dict[str, Any]:
    """What a result file begins with: its format, when it was made, and by what command."""
    return {
        "format": format,
        "format_version": version,
        "created": machine.now(),
        "command": machine.command_line(),
    }


def dump(value: Any) -> str:
    """JSON, two spaces deep, arrays of numbers on one line."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return _NUMBERS.sub(lambda match: re.sub(r"\s+", " ", match[0]), text) + "\n"


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
        value = json.loads(read_text(path, most=MOST_BYTES))
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be read ({error.strerror}); make it with `{made_by}`"
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
        BenchmarkError: instead of KeyError, TypeError, IndexError and StopIteration.
    """
    try:
        yield
    except (KeyError, TypeError, IndexError, StopIteration) as error:
        raise BenchmarkError(
            f"{path} lacks a part of a result file or has it in another form ({error!r}): it was "
            "changed by hand or is damaged"
        ) from error
