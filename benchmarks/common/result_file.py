"""The result file: written whole or not at all, and checked against its own clips when read."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.common.errors import BenchmarkError
from benchmarks.gate import check, upgrade
from benchmarks.study import pooled

FORMAT = "clipduet-benchmark"
FORMAT_VERSION = 3
STUDY_FORMAT = "clipduet-study"
STUDY_VERSION = 3

# An array of plain numbers, spread over lines by json.dumps. A string holds no raw line break, so
# this never matches inside one.
_NUMBER = r"-?\d[\d.eE+-]*"
_NUMBERS = re.compile(rf"\[\n\s*{_NUMBER}(?:,\n\s*{_NUMBER})*\n\s*\]")


def dump(value: Any) -> str:
    """JSON, two spaces deep, arrays of numbers on one line."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    return _NUMBERS.sub(lambda match: re.sub(r"\s+", " ", match[0]), text) + "\n"


def load(path: Path, *, format: str = FORMAT) -> dict[str, Any]:
    """Read a result file of `format`; an old one comes in the form of today.

    Raises:
        BenchmarkError: missing, not JSON, another format, or figures that its clips contradict.
    """
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BenchmarkError(
            f"{path} cannot be read ({error.strerror}); make it with "
            + ("`make benchmark`" if format == FORMAT else "`make study`")
        ) from error
    except ValueError as error:
        raise BenchmarkError(f"{path} is not a result file: {error}") from error
    if not isinstance(value, dict) or value.get("format") != format:
        found = value.get("format") if isinstance(value, dict) else type(value).__name__
        raise BenchmarkError(f"{path} is not a {format} file (format: {found!r})")
    version = FORMAT_VERSION if format == FORMAT else STUDY_VERSION
    old = format == FORMAT and value.get("format_version") == upgrade.OLD_VERSION
    if value.get("format_version") != version and not old:
        raise BenchmarkError(
            f"{path} has format version {value.get('format_version')!r}; this program reads "
            f"{version}. Run the benchmark again"
        )
    verify = check.verify if format == FORMAT else pooled.verify
    try:
        if old:
            value = upgrade.with_new_verdicts(value, path) | {"format_version": version}
        verify(value, path)
    except (KeyError, TypeError, IndexError, StopIteration) as error:
        raise BenchmarkError(
            f"{path} lacks a part of a result file or has it in another form ({error!r}): it was "
            "changed by hand or is damaged"
        ) from error
    return value
