"""Actors of Ray: clips to answers, by the network that `predict` runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..bundle.bundle import BUNDLE_JSON, Bundle
from ..clips.spec import ClipSpec
from ..containers.decoder import check_decoder, installed
from ..pipeline.predictions import Loaded, predict_loaded
from ..runtimes.open import open_runtime
from ..system.errors import ClipDuetError
from ..system.files import sha256_of
from .parts import row_of, schema


@dataclass(frozen=True)
class NetworkSettings:
    """How clips are classified; the same for all.

    Attributes:
        bundle: its folder, by the same path on every machine.
        sha256: of its bundle.json, in hex.
        spec: of the clips.
        backend, precision, threads, max_batch: as for `open_runtime`.
        top_k: classes in each answer.
        temperature: that logits are divided by; None: they are not.
    """

    bundle: str
    sha256: str
    spec: ClipSpec
    backend: str
    precision: str
    threads: int
    max_batch: int | None
    top_k: int
    temperature: float | None = None


class Network:
    """A network that is loaded once and answers block after block."""

    def __init__(self, settings: NetworkSettings) -> None:
        """Raises ClipDuetError where it cannot run here."""
        self._settings = settings
        check_decoder(installed()["av"])
        folder = Path(settings.bundle)
        bundle = Bundle.load(folder)
        if sha256_of(folder / BUNDLE_JSON) != settings.sha256:
            raise ClipDuetError(f"the bundle {folder} is another one on one of the machines")
        self._classes = bundle.classes
        self._runtime = open_runtime(
            bundle,
            backend=settings.backend,
            precision=settings.precision,
            threads=settings.threads,
            max_batch=settings.max_batch,
            spinning=False,  # reading shares the cores
        )

    def __call__(self, batch: Any) -> Any:
        """From the table of `read_videos` to one of the output; all go through it together."""
        import pyarrow as pa

        rows, about = batch.to_pylist(), self._settings
        answers = predict_loaded(
            [self._loaded(row) for row in rows],
            self._runtime.run,
            self._classes,
            about.top_k,
            about.temperature,
        )
        found = [
            row_of(row["video"], prediction, about.sha256)
            for row, prediction in zip(rows, answers, strict=True)
        ]
        return pa.Table.from_pylist(found, schema())

    def _loaded(self, row: Mapping[str, Any]) -> Loaded:
        spec, clips = self._settings.spec, None
        if row["clips"] is not None:
            shape = (spec.clips, *spec.clip_shape)
            clips = np.frombuffer(row["clips"], np.uint8).reshape(shape)
        video = Path(row["video"])
        return Loaded(video, clips, row["seconds"], row["error"], row["warning"])
