"""What an earlier study of methods has already found, so that a long one can grow over days.

Answers and costs lie in its result file, so a method need not be trained again although its run is
gone: on the same kind of processor, with the same Paddle, config, seeds and clips.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine

FORMAT, FORMAT_VERSION = "clipduet-methods", 3


def kept_rows(
    file: Path, *, given: Mapping[str, Any], clips_sha256: str, seeds: Sequence[int]
) -> list[dict[str, Any]]:
    """The rows of a result file that was made under the same conditions; else none.

    Args:
        file: the result file, which need not be there.
        given: ``overrides`` and ``checkpoint`` of the study.
        clips_sha256: of the test clips; the same list may stand for others, made anew.
        seeds: of the study; a row must have them all.
    """
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        conditions = stored["conditions"]
        host, here = conditions["machine"], machine.machine()
        same = (
            stored["format"] == FORMAT
            and stored["format_version"] == FORMAT_VERSION
            and stored["data"]["clips_sha256"] == clips_sha256
            and all(conditions[key] == value for key, value in given.items())
            and host["cpu"] == here["cpu"]
            and host["packages"].get("paddlepaddle") == here["packages"].get("paddlepaddle")
        )
        rows = stored["methods"] if same else []
        return [row for row in rows if {run["seed"] for run in row["runs"]} >= set(seeds)]
    except (OSError, ValueError, KeyError, TypeError):
        return []
