"""Files that clients send, with what predict says of them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common.errors import BenchmarkError
from benchmarks.service.bodies import BROKEN, GOOD, Body, broken_files, file_body


def known_bodies(bundle: Path, videos: Sequence[Path]) -> list[Body]:
    """Good and broken files, with what predict says of them."""
    from infer.api import load
    from infer.command.output import record

    good = [path.read_bytes() for path in videos]
    broken = broken_files(good)
    bodies = []
    with tempfile.TemporaryDirectory() as folder, load(bundle, backend="onnxruntime") as model:
        files: list[Path] = []
        for number, content in enumerate([*good, *broken.values()]):
            files.append(Path(folder) / str(number))  # without a suffix, as the service has it
            files[-1].write_bytes(content)
        answers = [
            record(path.name, one, None)
            for path, one in zip(files, model.predict(files), strict=True)
        ]
    for path, content, answer in zip(videos, good, answers, strict=False):
        bodies.append(file_body(path.name, GOOD, content, answer))
    for (name, content), answer in zip(broken.items(), answers[len(good) :], strict=True):
        bodies.append(file_body(name, BROKEN, content, answer))
    if not any("label" in answer for answer in answers[: len(good)]):
        raise BenchmarkError("predict answers none of the videos")
    return bodies
