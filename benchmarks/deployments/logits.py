"""The logits behind a result file, beside it: `results.json` has its `logits.npz`.

Accuracies follow from the answers that a result file holds. Other measures, such as calibration or
the agreement of two models, need what the networks computed; with it they need no new run.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.common.errors import BenchmarkError
from benchmarks.common.result_file import beside
from infer.system.files import replacing, sha256_of

Logits = Mapping[str, npt.NDArray[np.float32]]
"""By key, such as `student/11/onnxruntime:int8`: float32 [clips, classes], NaN in the rows of clips
that could not be read."""


def logits_key(model: str, pair: int, cell: str) -> str:
    """The key of what one model of a pair (its seed or its place) computed in one cell."""
    return f"{model}/{pair}/{cell}"


def logits_path(results: Path) -> Path:
    """Where the logits of a result file lie."""
    return beside(results, "logits.npz")


def write_logits(results: Path, logits: Logits) -> dict[str, Any]:
    """Write the logits of a result file, before that file itself; what it says of them.

    Args:
        results: the result file.
        logits: what the networks computed; rows in the order of the result's `data.paths`.
    """
    file = logits_path(results)
    tables: dict[str, Any] = {key: np.asarray(one, np.float32) for key, one in logits.items()}
    with replacing(file) as partial, partial.open("wb") as out:
        np.savez_compressed(out, **tables)
    return {"file": file.name, "sha256": sha256_of(file), "keys": list(logits)}


def read_logits(results: Path, record: Mapping[str, Any] | None) -> dict[str, Any]:
    """The logits of a result file, by key: float32 [clips, classes].

    Args:
        results: the result file.
        record: its `logits`.

    Raises:
        BenchmarkError: there are none, or the file is missing, damaged or of another result.
    """
    if record is None:
        raise BenchmarkError(f"{results} was written without logits; measure it again to get them")
    file = results.with_name(Path(record["file"]).name)
    if not file.is_file():
        raise BenchmarkError(f"{file}, the logits of {results}, is missing: copy it beside it")
    if sha256_of(file) != record["sha256"]:
        raise BenchmarkError(
            f"{file} has another SHA-256 than {results} says: it belongs to another result or is "
            "damaged; measure again"
        )
    try:
        with np.load(file, allow_pickle=False) as stored:
            return {key: stored[key] for key in record["keys"]}
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise BenchmarkError(f"{file} cannot be read as logits: {error}") from error
