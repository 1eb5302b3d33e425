"""Answers that were measured before, so that what was stopped goes on where it was.

They are taken only where all that they depend on is the same: files, clips, versions, settings.
"""

from __future__ import annotations

import functools
import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import infer
from benchmarks.common import machine
from benchmarks.deployments.deployment import Deployment
from infer.bundle.bundle import Bundle
from infer.bundle.engines import FOLDER
from infer.runtimes.registry import BACKENDS, find_artifact
from infer.system.files import replacing
from train.data.lists import Sample
from train.evaluation.evaluate import Evaluation, EvaluationError


class AnswerCache:
    """Evaluations of one list's clips, a file each.

    Args:
        folder: where they lie; made when the first is saved.
        samples: the clips.
        common: what all of the answers depend on; JSON-ready.
    """

    def __init__(self, folder: Path, samples: Sequence[Sample], common: Mapping[str, Any]) -> None:
        self._folder, self._samples, self._common = folder, samples, common

    def answered(self, about: Mapping[str, Any], evaluate: Callable[[], Evaluation]) -> Evaluation:
        """What is saved about the same, else what `evaluate` returns, which is saved then.

        Args:
            about: what these answers depend on besides what all do; JSON-ready.
            evaluate: measures them.
        """
        seen = self.load(about)
        if seen is None:
            seen = evaluate()
            self.save(about, seen)
        return seen

    def load(self, about: Mapping[str, Any]) -> Evaluation | None:
        """What was saved, if it is about the same and whole."""
        try:
            with np.load(self._file(about), allow_pickle=False) as stored:
                logits, failed = stored["logits"], json.loads(str(stored["failed"]))
            return Evaluation(
                logits,
                np.array([sample.label for sample in self._samples], np.int64),
                tuple(str(sample.path) for sample in self._samples),
                tuple((path, reason) for path, reason in failed),
            )
        except (OSError, ValueError, KeyError, zipfile.BadZipFile, EvaluationError):
            return None

    def save(self, about: Mapping[str, Any], seen: Evaluation) -> None:
        """Keep an evaluation, whole or not at all."""
        with replacing(self._file(about)) as file, file.open("wb") as out:
            np.savez(out, logits=seen.logits, failed=json.dumps(seen.failed))

    def _file(self, about: Mapping[str, Any]) -> Path:
        return self._folder / f"{digest({**self._common, **about})}.npz"


def gate_cache(
    folder: Path, samples: Sequence[Sample], *, threads: int, **more: Any
) -> AnswerCache:
    """The answers of a gate that was stopped; `more` is what else they depend on, JSON-ready."""
    common = {
        "clips": [(str(s.path), s.label, s.frames, *_state(s.path)) for s in samples],
        "packages": machine.package_versions(),
        "threads": threads,
        **more,
    }
    return AnswerCache(folder, samples, common)


def files_of(bundle: Bundle, cell: Deployment) -> dict[str, Any]:
    """What the answers of a bundle in a cell depend on."""
    artifact = find_artifact(bundle, cell.backend, cell.precision)
    about: dict[str, Any] = {
        "cell": cell.key,
        "files": [file.sha256 for file in artifact.files],
        "spec": bundle.spec.to_dict(),
    }
    if BACKENDS[cell.backend].engines:  # one built anew may round otherwise
        stamps = sorted((bundle.root / FOLDER).glob("*.json"))
        about["engines"] = [(stamp.name, *_state(stamp)) for stamp in stamps]
    return about


def digest(about: Any) -> str:
    """SHA-256 of JSON-ready values."""
    return hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()


@functools.cache
def code_sha256() -> str:
    """SHA-256 of the sources that answers come from: other code may round otherwise.

    Read once a process, whose code stays what it was when it was loaded.
    """
    root = Path(infer.__file__).parent.parent
    sources = hashlib.sha256()
    for room in ("export", "infer", "train"):
        for file in sorted((root / room).rglob("*.py")):
            sources.update(f"{file.relative_to(root)}\n".encode() + file.read_bytes())
    return sources.hexdigest()


def _state(path: Path) -> tuple[int, int]:
    """What changes when a file does."""
    state = path.stat()
    return state.st_size, state.st_mtime_ns
