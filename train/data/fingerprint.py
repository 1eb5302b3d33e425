"""Which clips a list holds: one checksum to compare the data of two runs by."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from train.data.lists import Sample


def fingerprint(samples: Sequence[Sample]) -> str:
    """SHA-256 of what a list holds: its clips, their labels and their sizes, wherever they lie.

    Reading every byte of a large dataset would take longer than some trainings: of a video the
    size stands for its content, of a folder the number of its frames.
    """
    folders = [os.path.dirname(os.path.abspath(sample.path)) for sample in samples]
    top = os.path.commonpath(folders) if folders else ""
    lines = [
        f"{os.path.relpath(sample.path, top)} {sample.label} "
        f"{sample.path.stat().st_size if sample.frames is None else sample.frames}\n"
        for sample in samples
    ]
    return hashlib.sha256("".join(lines).encode(errors="surrogateescape")).hexdigest()
