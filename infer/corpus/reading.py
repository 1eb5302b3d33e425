"""Tasks of Ray: videos to clips, by the reader that `predict` uses."""

from __future__ import annotations

import contextlib
import functools
import math
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import cv2

from ..clips.preprocess import load_clips
from ..clips.spec import ClipSpec
from ..containers.limits import Limits
from ..pipeline.predictions import load_video
from ..system.addresses import is_address
from ..system.errors import VideoError

_BLOCK_BYTES, _BLOCK_VIDEOS = 64 << 20, 32
"""Of a block, at most, if the user does not say: answers come in such steps, and a task that is
lost is done again."""
_COPIED = 1 << 20
"""Bytes of a download at a time."""


@dataclass(frozen=True)
class ReadSettings:
    """How videos are read; the same for all.

    Attributes:
        spec: how to sample, scale and crop.
        limits: how large a video may be.
        isolate: whether each is read in a process that may crash.
        seconds, memory: limits of that process.
        block: videos that are read by one task.
    """

    spec: ClipSpec
    limits: Limits
    isolate: bool
    seconds: float
    memory: int
    block: int


def usual_block(spec: ClipSpec) -> int:
    """Videos that are read by one task, if the user does not say."""
    return min(max(_BLOCK_BYTES // (spec.clips * math.prod(spec.clip_shape)), 1), _BLOCK_VIDEOS)


def read_videos(batch: Any, *, settings: ReadSettings) -> Any:
    """Read the videos of a block.

    Args:
        batch: table of Arrow with `video`, the name; and `path`, bytes of a path or address, with
            `frames`, how many a list says that a folder has; or `content`, the bytes of a file.
        settings: for all.

    Returns:
        A table with `video`, `clips` (bytes, or null where there is an error), `seconds`, `error`
        and `warning`.
    """
    import pyarrow as pa

    cv2.setNumThreads(1)  # tasks run side by side already
    rows = [_read(row, settings) for row in batch.to_pylist()]
    types = {
        "video": pa.string(),
        "clips": pa.large_binary(),
        "seconds": pa.float64(),
        "error": pa.string(),
        "warning": pa.string(),
    }
    return pa.Table.from_pylist(rows, pa.schema(list(types.items())))


def _read(row: Mapping[str, Any], settings: ReadSettings) -> dict[str, Any]:
    read, frames = _reader(settings), row.get("frames")

    def load(video: Path, spec: ClipSpec) -> Any:
        with _file(row, video, settings.limits) as path:
            return read(path, spec, frames)

    loaded = load_video(Path(row["video"]), settings.spec, load)
    return {
        "video": row["video"],
        "clips": None if loaded.clips is None else loaded.clips.tobytes(),
        "seconds": loaded.seconds,
        "error": loaded.error,
        "warning": loaded.warning,
    }


@functools.lru_cache(1)
def _reader(settings: ReadSettings) -> Callable[[Path, ClipSpec, int | None], Any]:
    """What reads a file; where it has a process for that, this lives as long as the task's."""
    load: Any = functools.partial(load_clips, limits=settings.limits)
    if settings.isolate:
        from ..isolation.reading import IsolatedReading

        load = IsolatedReading(
            1, limits=settings.limits, seconds=settings.seconds, memory=settings.memory
        ).load
    return lambda path, spec, frames: load(path, spec, frames=frames)


@contextlib.contextmanager
def _file(row: Mapping[str, Any], video: Path, limits: Limits) -> Iterator[Path]:
    """A file of this machine with what is to be read; a copy is removed after that."""
    content = row.get("content")
    path = os.fsdecode(row["path"]) if "path" in row else ""
    if content is None and not is_address(path):
        yield Path(path)
        return
    # The suffix is no name: it says whether a file holds frames as an array, for example.
    suffix = "" if content is not None else PurePosixPath(path.split("?")[0]).suffix[:10]
    with tempfile.NamedTemporaryFile(prefix="clipduet-", suffix=suffix) as copy:
        if content is not None:
            copy.write(content)
        else:
            _download(path, copy, video, limits)
        copy.flush()
        yield Path(copy.name)


def _download(address: str, copy: Any, video: Path, limits: Limits) -> None:
    import fsspec

    size = 0
    try:
        with fsspec.open(address, "rb") as file:
            while chunk := file.read(_COPIED):
                size += len(chunk)
                if size > limits.bytes:
                    why = f"it has more than {limits.bytes:,} bytes (--max-bytes)"
                    raise VideoError(video, why, "limit")
                copy.write(chunk)
    except VideoError:
        raise
    except Exception as error:  # each file system has errors of its own
        text = " ".join(f"{type(error).__name__}: {error}".split())[:300]
        raise VideoError(video, f"it cannot be fetched: {text}", "unreadable") from None
