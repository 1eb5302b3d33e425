"""The files of a fine-tune for 8 bits, checked when they are read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from infer.system.errors import ClipDuetError
from infer.system.files import sha256_of

KINDS: tuple[Literal["int8", "uint8"], ...] = ("int8", "uint8")
FORMAT = "clipduet-qat"
START, RESULT = "start.json", "qat.json"
FP32, START_GRAPH, TRAINED = "fp32.onnx", "start.onnx", "trained.onnx"
STARTED = ("checkpoint_sha256", "calibration_clips", "calibrator", "calibration")
TRAINED_FACTS = ("file", "sha256", "epochs", "steps", "seconds", "validation_top1")
REPAIR = "put the file back, or make the fine-tune again with another --output"


class QatError(ClipDuetError):
    """A fine-tune that cannot be done, or one that does not belong to what it is asked for."""


def load_trained(folder: Path, *, checkpoint_sha256: str) -> dict[str, Any]:
    """What a finished fine-tune left, checked: `qat.json`, with absolute paths of the files.

    Raises:
        QatError: there is none, it started from another checkpoint, or a file has changed.
    """
    if not (folder / RESULT).exists():
        raise QatError(
            f"{folder} holds no finished fine-tune (no {RESULT}); make it: python -m export.qat"
        )
    record = result(folder)
    if record["checkpoint_sha256"] != checkpoint_sha256:
        raise QatError(
            f"the fine-tune in {folder} started from {record['checkpoint']}, which is not the "
            "checkpoint to export (its SHA-256 differs): run python -m export.qat on this one"
        )
    for one in record["trained"].values():
        path = folder / one["file"]
        if not path.is_file() or sha256_of(path) != one["sha256"]:
            raise QatError(f"{path} is not the file that the fine-tune wrote; run it again")
        one["path"] = path
    return record


def result(folder: Path) -> dict[str, Any]:
    """What an earlier call finished; nothing, if none did."""
    file = folder / RESULT
    if not file.exists():
        return {"trained": {}}
    record = read_record(file, ("checkpoint", *STARTED, "trained"))
    trained = record["trained"]
    whole = isinstance(trained, dict) and all(
        kind in KINDS and isinstance(one, dict) and one.keys() >= set(TRAINED_FACTS)
        for kind, one in trained.items()
    )
    if record.get("format") != FORMAT or not whole:
        raise QatError(f"{file} is no record of a fine-tune; {REPAIR}")
    return record


def read_record(file: Path, needed: Sequence[str]) -> dict[str, Any]:
    """A record of this module. Raises QatError: it is damaged."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise QatError(f"{file} cannot be read: {error}; {REPAIR}") from error
    lacking = [key for key in needed if key not in record] if isinstance(record, dict) else needed
    if lacking:
        raise QatError(f"{file} is damaged, it lacks {', '.join(lacking)}; {REPAIR}")
    return dict(record)
