"""How wide the pixels of a video are shown: those of DV, DVD and old cameras are no squares."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import av

from ..containers.formats import open_video
from ..containers.limits import LIMITS, Limits
from .array_file import is_array_file
from .spec import PreprocessSpec

WIDEST = 100
"""Times as wide as high, or as high as wide: beyond, the header is not believed."""


def pixel_aspect(path: str | Path, spec: PreprocessSpec, *, limits: Limits = LIMITS) -> float:
    """Width of a shown pixel over its height, after rotation; 1 where the spec ignores it.

    Args:
        path: of a video, see `read_scaled`; pictures and arrays have squares.
        spec: how it is scaled.
        limits: how large the video may be.

    Raises:
        VideoError: it cannot be opened.
    """
    if not spec.square_pixels or os.path.isdir(path) or is_array_file(path):
        return 1.0
    container, stream = open_video(Path(path), limits)
    with container:
        turned = False
        with contextlib.suppress(StopIteration, av.FFmpegError, OSError):
            turned = next(container.decode(stream)).rotation % 180 != 0
        return shown_aspect(stream, turned=turned)


def shown_aspect(stream: object, *, turned: bool) -> float:
    """The same of a stream of PyAV; `turned`: by a quarter."""
    aspect = float(getattr(stream, "sample_aspect_ratio", None) or 1)
    if not 1 / WIDEST <= aspect <= WIDEST:
        return 1.0
    return 1 / aspect if turned else aspect
