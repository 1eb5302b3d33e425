"""Frames of a video that were written as numbered pictures into a folder.

PaddleVideo numbers them from 1, other tools from 0: a folder that holds picture 0 counts from it.
Where nobody says how the pictures are named, it is found in the folder.
"""

from __future__ import annotations

import os
import re
import string
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..containers.limits import LIMITS, Limits
from ..system.errors import VideoError, os_reason
from ..system.terminal import counted
from .decode import Each, Frames, Pick, VideoInfo
from .picture_names import SUFFIX, numberings
from .pictures import read_picture

_SHOWN = 5  # ranges of missing numbers that a message spells out


@dataclass(frozen=True)
class Numbering:
    """The numbers of the pictures of a folder.

    Attributes:
        first: of the first frame, 0 or 1.
        pictures: how many are there.
        missing: first and last number of each range that is not there, from `first` to the last
            picture, or to the last that a list claims.
    """

    first: int
    pictures: int
    missing: tuple[tuple[int, int], ...] = ()

    @property
    def gaps(self) -> str:
        """The missing numbers in words, "" if there are none."""
        shown = [f"{a} to {b}" if b > a else f"{a}" for a, b in self.missing[:_SHOWN]]
        more = len(self.missing) - _SHOWN
        return ", ".join([*shown, *([f"and {counted(more, 'more range')}"] if more > 0 else [])])


def _found_numbering(folder: Path) -> str:
    try:
        found = numberings(os.listdir(folder))
    except OSError as error:
        raise VideoError(folder, f"cannot be read: {os_reason(error)}") from None
    if len(found) > 1:
        some = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        why = f"holds pictures of {len(found)} numberings ({some}); one video has one"
        raise VideoError(folder, why)
    return found[0] if found else SUFFIX


def first_number(folder: Path, suffix: str = SUFFIX) -> int:
    """The number of the first frame: 0 if picture 0 is there, else 1."""
    return 0 if os.path.lexists(folder / suffix.format(0)) else 1


def numbering(folder: Path, suffix: str = SUFFIX, *, claimed: int | None = None) -> Numbering:
    """Which pictures are in a folder.

    Args:
        folder: holds the pictures.
        suffix: file name with one place for the number.
        claimed: frames that a list says there are; None: up to the last picture.

    Raises:
        VideoError: the folder cannot be read.
    """
    pattern = Path(suffix).name
    name = _name(pattern)
    try:
        found = map(name.fullmatch, os.listdir((folder / suffix.format(0)).parent))
    except OSError as error:
        raise VideoError(folder, f"cannot be read: {os_reason(error)}") from None
    numbers = ((int(match[1]), match[0]) for match in found if match)
    there = sorted(number for number, text in numbers if pattern.format(number) == text)
    first = 0 if there[:1] == [0] else 1
    end = max(there, default=first - 1) if claimed is None else first + claimed - 1
    missing = []
    expected = first
    for number in [*(n for n in there if first <= n <= end), end + 1]:
        if number > expected:
            missing.append((expected, number - 1))
        expected = number + 1
    return Numbering(first, len(there), tuple(missing))


def read_frames_folder(
    folder: str | Path,
    pick: Pick,
    *,
    suffix: str | None = SUFFIX,
    frames: int | None = None,
    each: Each | None = None,
    limits: Limits = LIMITS,
) -> tuple[Frames, VideoInfo]:
    """Read chosen frames of a folder of pictures, numbered from 1, or from 0 if that is there.

    Args:
        folder: holds the pictures.
        pick: as in `infer.clips.decode.read_video`. Frame number 0 is the first picture,
            `suffix.format(1)` or `suffix.format(0)`.
        suffix: file name with one place for the number; None: as the pictures in the folder have
            it, see `infer.clips.picture_names.numberings`.
        frames: pictures the list claims; None: count them up to the first gap, and say in what is
            returned which are missing before others.
        each: applied to every kept frame, as in `infer.clips.decode.read_video`.
        limits: how many and how large they may be.

    Raises:
        VideoError: no such folder, no pictures, too many, several numberings, or a wanted picture
            is missing, unreadable or too large.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VideoError(folder, "no such folder of frames")
    if suffix is None:
        suffix = _found_numbering(folder)
    lost = ""
    first = first_number(folder, suffix)
    if frames is None:
        frames = 0
        # A link that leads nowhere counts: it is a picture that cannot be read, not the end.
        while os.path.lexists(folder / suffix.format(first + frames)):
            frames += 1
            limits.check_frames(folder, frames)
        if frames and (gaps := numbering(folder, suffix).gaps):
            lost = f"pictures that are missing: {gaps}; those behind are not read"
    limits.check_frames(folder, frames)
    if frames < 1:
        neither = f"neither {suffix.format(0)} nor {suffix.format(1)} is there"
        rule = "a folder is read as one video, whose frames are numbered pictures"
        raise VideoError(folder, f"no frames: {neither}; {rule}")
    wanted = list(pick(frames))
    kept: dict[int, Frames] = {}
    height = width = read = 0
    for number in sorted(set(wanted)):
        name = suffix.format(first + number)
        try:
            read += (folder / name).stat().st_size
            limits.check_bytes(folder, read)
            picture = read_picture(folder / name, limits)
        except FileNotFoundError:
            gaps = numbering(folder, suffix, claimed=frames).gaps
            reason = f"frame {name} is missing ({frames} claimed; not there: {gaps or name})"
            raise VideoError(folder, reason) from None
        except OSError as error:
            raise VideoError(folder, f"frame {name} cannot be read: {os_reason(error)}") from None
        except VideoError as error:
            if error.path == folder:
                raise
            raise VideoError(folder, f"frame {name} {error.reason}") from None
        frame = np.ascontiguousarray(picture[:, :, ::-1])
        height, width = frame.shape[:2]
        kept[number] = each(frame) if each else frame
    sizes = {frame.shape for frame in kept.values()}
    if len(sizes) > 1:
        raise VideoError(folder, f"pictures of different sizes: {sorted(sizes)}")
    info = VideoInfo(
        folder, "frames", width, height, None, frames, frames, damaged=bool(lost), lost=lost
    )
    return np.stack([kept[i] for i in wanted]), info


def _name(pattern: str) -> re.Pattern[str]:
    """What the names match that a pattern gives; the number is a group."""
    parts = string.Formatter().parse(pattern)
    return re.compile(
        "".join(
            re.escape(text) + ("" if field is None else r"(\d+)") for text, field, _, _ in parts
        ),
        re.ASCII,
    )
