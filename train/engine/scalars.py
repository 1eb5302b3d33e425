"""A run's scalars for VisualDL and TensorBoard, each by an optional package."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infer.libraries.install import pip_install
from infer.system.errors import ClipDuetError


@dataclass(frozen=True)
class Viewer:
    """A program that shows scalars.

    Attributes:
        name: as it calls itself.
        option: of `python -m train`, and the extra that brings the package.
        module: of the package that writes its files.
        writer: a class of the module, with `add_scalar(name, value, step)` and `close()`.
        folder: below that of the run.
    """

    name: str
    option: str
    module: str
    writer: str
    folder: str


VIEWERS = (
    Viewer("VisualDL", "visualdl", "visualdl", "LogWriter", "vdl"),
    Viewer("TensorBoard", "tensorboard", "tensorboardX", "SummaryWriter", "tensorboard"),
)


class Scalars:
    """Writes scalars for several viewers.

    Args:
        run: folder of the run.
        viewers: who reads them; none: nothing is written.

    Raises:
        ClipDuetError: a package is not installed.
    """

    def __init__(self, run: Path, viewers: Sequence[Viewer]) -> None:
        classes = [_writer(viewer) for viewer in viewers]
        self._writers = [
            made(logdir=str(run / viewer.folder))
            for viewer, made in zip(viewers, classes, strict=True)
        ]

    def add(self, name: str, value: float, step: int) -> None:
        """One number of one step."""
        for writer in self._writers:
            writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is still in memory."""
        for writer in self._writers:
            writer.close()


def _writer(viewer: Viewer) -> Any:
    try:
        return getattr(importlib.import_module(viewer.module), viewer.writer)
    except ImportError as error:
        raise ClipDuetError(
            f"{viewer.module} is not installed, which writes for {viewer.name}: "
            f"{pip_install(extra=viewer.option)}, or leave --{viewer.option} out"
        ) from error
