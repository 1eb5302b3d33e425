"""Whether a video gives any frame, without decoding the rest of it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from infer.clips.decode import Frames, each_frame


class _Enough(Exception):
    """The first frame has been seen."""


def check_first_frame(path: Path) -> None:
    """Decode the first frame of a video file.

    Raises:
        VideoError: it gives none.
    """

    def stop(frame: Frames) -> None:
        raise _Enough

    with contextlib.suppress(_Enough):
        each_frame(path, stop)
