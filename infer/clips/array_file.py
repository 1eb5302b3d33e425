"""Frames of a video in a NumPy file: `.npy`, or `.npz` with one array or one named `frames`.

The frames go by one at a time, compressed ones too, so that a large file takes little memory.
Nothing in such a file is run: pickled objects are not read.
"""

from __future__ import annotations

import contextlib
import os
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ..containers.formats import check_file
from ..containers.limits import LIMITS, Limits
from ..system.errors import VideoError, os_reason
from .decode import Each, Frames, Pick, VideoInfo

SUFFIXES = (".npy", ".npz")
NEEDED = "needed: uint8 (T, H, W, 3), RGB, at least one frame"
MEMBER = "frames"
"""Name of the array that counts where an `.npz` file has several."""
_PROBLEMS = (OSError, ValueError, EOFError, tokenize.TokenError, zipfile.BadZipFile, zlib.error)
_READ = 1 << 20


def is_array_file(path: str | Path) -> bool:
    """Whether a path has the suffix of a NumPy file."""
    return Path(path).suffix.lower() in SUFFIXES


def read_array_file(
    path: str | Path, pick: Pick, *, each: Each | None = None, limits: Limits = LIMITS
) -> tuple[Frames, VideoInfo]:
    """Read chosen frames of an array uint8 [T, H, W, 3], RGB.

    Args:
        path: a `.npy` or `.npz` file.
        pick: as in `infer.clips.decode.read_video`.
        each: applied to every kept frame, as in `infer.clips.decode.read_video`.
        limits: how many and how large the frames may be; bytes: of all frames too.

    Raises:
        VideoError: no such file, another array, a damaged file, or larger than allowed.
    """
    path = Path(path)
    check_file(path, limits)
    with _opened(path) as file:
        frames, height, width = _shape(path, file)
        limits.check_size(path, width, height)
        limits.check_frames(path, frames)
        limits.check_bytes(path, frames * height * width * 3)
        wanted = list(pick(frames))
        kept: dict[int, Frames] = {}
        place = 0
        for number in sorted(set(wanted)):
            _skip(path, file, (number - place) * height * width * 3)
            data = _exactly(path, file, height * width * 3)
            frame = np.frombuffer(data, np.uint8).reshape(height, width, 3).copy()
            kept[number] = each(frame) if each else frame
            place = number + 1
        _skip(path, file, (frames - place) * height * width * 3)  # and it is whole
    info = VideoInfo(path, "array", width, height, None, frames, frames, damaged=False)
    return np.stack([kept[number] for number in wanted]), info


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    """The bytes of the array, header first."""
    try:
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                yield file
            return
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            name = f"{MEMBER}.npy" if f"{MEMBER}.npy" in names else names[0] if names else ""
            if len(names) != 1 and name != f"{MEMBER}.npy":
                why = f"holds {len(names)} arrays, none of them named {MEMBER}"
                raise VideoError(path, f"{why}; {NEEDED}")
            with archive.open(name) as file:
                yield file
    except VideoError:
        raise
    except RuntimeError as error:  # encrypted, or compressed in a way that Python cannot undo
        raise VideoError(path, f"not a readable NumPy file: {error}") from None
    except _PROBLEMS as error:
        why = os_reason(error) if isinstance(error, OSError) else str(error)
        raise VideoError(path, f"not a readable NumPy file: {why[:200]}") from None


def _shape(path: Path, file: IO[bytes]) -> tuple[int, int, int]:
    """Frames, height and width, by the header."""
    version = np.lib.format.read_magic(file)
    if version != (1, 0):  # the others are for headers that are large or have names in them
        raise VideoError(path, f"a NumPy file of version {version[0]}.{version[1]}; {NEEDED}")
    shape, by_columns, kind = np.lib.format.read_array_header_1_0(file)
    good = kind == np.uint8 and len(shape) == 4 and shape[-1] == 3 and all(n > 0 for n in shape)
    if not good:
        raise VideoError(path, f"holds {kind} of shape {shape}; {NEEDED}")
    if by_columns:
        why = "is in Fortran order; save numpy.ascontiguousarray of it"
        raise VideoError(path, f"its array {why}")
    frames, height, width, _ = shape
    return frames, height, width


def _skip(path: Path, file: IO[bytes], count: int) -> None:
    if path.suffix.lower() == ".npy":
        if file.seek(count, os.SEEK_CUR) > os.fstat(file.fileno()).st_size:
            raise _cut_off(path)
        return
    while count:
        part = file.read(min(count, _READ))
        if not part:
            raise _cut_off(path)
        count -= len(part)


def _exactly(path: Path, file: IO[bytes], count: int) -> bytes:
    data = file.read(count)
    if len(data) < count:
        raise _cut_off(path)
    return data


def _cut_off(path: Path) -> VideoError:
    return VideoError(path, "cut off: it has fewer frames than its header says")
