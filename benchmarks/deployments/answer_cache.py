"""Answers of a gate that was stopped, so that it goes on where it was.

They lie beside the result until it is written, and are taken only for the same files of the same
bundle, the same clips and the same versions of everything.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.common import machine
from benchmarks.deployments.deployment import Cell
from infer.bundle.bundle import Bundle
from infer.bundle.engines import FOLDER
from infer.runtimes.registry import BACKENDS, find_artifact
from infer.system.files import replacing
from train.data.lists import Sample
from train.evaluation.evaluate import Evaluation


class Kept:
    """Logits of one list's clips, a file each for a bundle in a cell.

    folder: where they lie; made when the first is saved.
    """

    def __init__(self, folder: Path, samples: Sequence[Sample], *, threads: int) -> None:
        self._folder = folder
        self._samples = samples
        self._common = {
            "clips": [(str(s.path), s.label, s.frames, *_state(s.path)) for s in samples],
            "packages": machine.package_versions(),
            "threads": threads,
        }

    def load(self, bundle: Bundle, cell: Cell) -> Evaluation | None:
        """What an earlier sitting saved, if it is about the same and whole."""
        try:
            with np.load(self._file(bundle, cell), allow_pickle=False) as stored:
                logits, failed = stored["logits"], json.loads(str(stored["failed"]))
        except (OSError, ValueError, KeyError, zipfile.BadZipFile):
            return None
        return Evaluation(
            logits,
            np.array([sample.label for sample in self._samples], np.int64),
            tuple(str(sample.path) for sample in self._samples),
            tuple((path, reason) for path, reason in failed),
        )

    def save(self, bundle: Bundle, cell: Cell, seen: Evaluation) -> None:
        """Keep an evaluation, whole or not at all."""
        with replacing(self._file(bundle, cell)) as file, file.open("wb") as out:
            np.savez(out, logits=seen.logits, failed=json.dumps(seen.failed))

    def _file(self, bundle: Bundle, cell: Cell) -> Path:
        artifact = find_artifact(bundle, cell.backend, cell.precision)
        about = {
            **self._common,
            "cell": cell.key,
            "files": [file.sha256 for file in artifact.files],
            "spec": bundle.spec.to_dict(),
        }
        if BACKENDS[cell.backend].engines:  # one built anew may round otherwise
            stamps = sorted((bundle.root / FOLDER).glob("*.json"))
            about["engines"] = [(stamp.name, *_state(stamp)) for stamp in stamps]
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()
        return self._folder / f"{digest}.npz"


def _state(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns
