"""Exact frames out of a video file: decode everything in order, keep what was asked for.

What a header claims and what decoding finds are two things. `pick` is asked with the number of
frames that really decode; a file that has other than what its packets announce is decoded twice.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt

from ..containers.announced import Announced, announced, too_large
from ..containers.damage import cut_off_or
from ..containers.formats import check_file, open_video
from ..containers.limits import LIMITS, Limits
from ..system.errors import NO_MEMORY, VideoError

Frames = npt.NDArray[np.uint8]
Pick = Callable[[int], Sequence[int]]
Each = Callable[[Frames], Frames]


@dataclass(frozen=True)
class VideoInfo:
    """What is known about a video after reading it.

    width, height   pixels after rotation
    fps             average frame rate, None if the file does not say
    header_frames   frames the header claims, None if it does not say; often wrong
    frames          frames that decode
    damaged         parts of the bitstream did not decode or decoded with errors, or the end of the
                    file is missing
    lost            what shows that the end is missing ("ends after 3.20 of 10.00 seconds"), or ""
    """

    path: Path
    codec: str
    width: int
    height: int
    fps: float | None
    header_frames: int | None
    frames: int
    damaged: bool
    lost: str = ""


def read_video(
    path: str | Path, pick: Pick, *, each: Each | None = None, limits: Limits = LIMITS
) -> tuple[Frames, VideoInfo]:
    """Read chosen frames of a video.

    Args:
        path: the video file.
        pick: from the number of frames (at least 1) to the frame numbers wanted, in the order
            wanted, repeats allowed. It is called a second time where not every packet of the
            file becomes a frame, so what counts is its last answer.
        each: applied to every kept frame (uint8 [H, W, 3] to uint8 [h, w, 3]) as soon as it is
            decoded, for example to shrink it, so that large frames never pile up.
        limits: how large the video may be.

    Returns:
        uint8 [n, H, W, 3] RGB, rotated and mirrored as the file says, and what is known about
        the file. Frames that change size within a file come out in the size of the first one.

    Raises:
        VideoError: missing, empty, not a video, larger than allowed, or nothing decodes.
    """
    path = Path(path)
    check_file(path, limits)
    told = announced(path, limits)
    wanted = list(pick(max(told.packets, 1)))
    kept, found = _decode(path, set(wanted), each, limits)
    if found.frames != told.packets:
        wanted = list(pick(found.frames))
        if not kept.keys() >= set(wanted):
            kept, again = _decode(path, set(wanted), each, limits)
            if again.frames != found.frames:
                raise VideoError(path, "decodes differently every time")
    missing = sorted(set(wanted) - kept.keys())
    if missing or not wanted:
        raise ValueError(f"pick gave {missing or 'nothing'} for a video of {found.frames} frames")
    return np.stack([kept[i] for i in wanted]), _info(path, told, found)


def each_frame(
    path: str | Path, each: Callable[[Frames], None], *, limits: Limits = LIMITS
) -> VideoInfo:
    """Call `each` with every frame of a video, in order; one is in memory at a time.

    Args:
        path: the video file.
        each: gets uint8 [H, W, 3] RGB, as `read_video` gives it. What it raises ends the reading.
        limits: how large the video may be.

    Raises:
        VideoError: as `read_video`.
    """
    path = Path(path)
    check_file(path, limits)
    nothing = np.empty(0, np.uint8)

    def use(frame: Frames) -> Frames:
        each(frame)
        return nothing

    told = announced(path, limits)
    _, found = _decode(path, range(sys.maxsize), use, limits)
    return _info(path, told, found)


@dataclass
class _Found:
    codec: str
    fps: float | None
    width: int = 0
    height: int = 0
    frames: int = 0
    damaged: bool = False
    left_out: str = ""


def _info(path: Path, told: Announced, found: _Found) -> VideoInfo:
    return VideoInfo(
        path=path,
        codec=found.codec,
        width=found.width,
        height=found.height,
        fps=found.fps,
        header_frames=told.header,
        frames=found.frames,
        damaged=found.damaged or bool(told.lost),
        lost="; ".join(filter(None, (told.lost, found.left_out))),
    )


def _decode(
    path: Path, wanted: Container[int], each: Each | None, limits: Limits
) -> tuple[dict[int, Frames], _Found]:
    container, stream = open_video(path, limits)
    with container:
        rate = stream.average_rate or stream.guessed_rate
        found = _Found(stream.codec_context.name, float(rate) if rate else None)
        kept: dict[int, Frames] = {}
        turn: tuple[bool, bool, bool] | None = None
        size = (0, 0)
        for frame in _frames(container, stream):
            if _is_too_large(frame, stream, limits):
                most = f"{limits.pixels:,} pixels (--max-pixels of predict)"
                found.left_out = f"left out: frames of more than {most}"
                found.damaged = True
                continue
            if isinstance(frame, MemoryError):
                raise VideoError(path, NO_MEMORY)
            if isinstance(frame, Exception):
                found.damaged = True
                continue
            if found.frames == 0:
                size = (frame.width, frame.height)
                turn = _turn(frame)
                found.width, found.height = size[::-1] if turn[0] else size
            found.damaged |= bool(frame.is_corrupt)
            if found.frames in wanted and turn is not None:
                picture = _rgb(path, frame, size, turn)
                kept[found.frames] = each(picture) if each else picture
            found.frames += 1
            limits.check_frames(path, found.frames)
    if found.frames == 0:
        why = f"no frame decodes ({found.codec})"
        raise VideoError(
            path, f"{why}; {found.left_out}" if found.left_out else cut_off_or(path, why)
        )
    return kept, found


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Frames in order; an exception stands for a place where the bitstream is broken."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, OSError) as error:
            yield error
            break
        if packet.is_corrupt:  # the file ends inside it, or its container says so
            yield _Corrupt()
        try:
            yield from packet.decode()
        except (av.FFmpegError, OSError) as error:
            yield error
    try:  # the file broke off: what the decoder still holds
        yield from stream.codec_context.decode(None)
    except (av.FFmpegError, OSError) as error:
        yield error


class _Corrupt(Exception):
    """A packet that its container calls corrupt."""


def _is_too_large(frame: Any, stream: Any, limits: Limits) -> bool:
    if isinstance(frame, Exception):
        return too_large(frame, stream, limits)
    return bool(frame.width * frame.height > limits.pixels)


def _turn(frame: Any) -> tuple[bool, bool, bool]:
    """Whether to transpose, then to flip rows, then to flip columns, from the display matrix.

    Slanted or impossible matrices are ignored. A point (x, y) is shown at (a x + c y, b x + d y).
    """
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX" and len(bytes(data)) >= 36:
            a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
            if b == c == 0 and a and d:
                return False, d < 0, a < 0
            if a == d == 0 and b and c:
                return True, b < 0, c < 0
    return False, False, False


def _rgb(path: Path, frame: Any, size: tuple[int, int], turn: tuple[bool, bool, bool]) -> Frames:
    width, height = size
    try:
        # One thread: FFmpeg would start as many as there are cores for each frame anew.
        picture: Frames = frame.to_ndarray(format="rgb24", width=width, height=height, threads=1)
    except MemoryError:
        raise VideoError(path, NO_MEMORY) from None
    except (av.FFmpegError, ValueError) as error:
        name = frame.format.name
        raise VideoError(path, f"its pixels ({name}) do not convert to RGB: {error}") from None
    transpose, flip_rows, flip_columns = turn
    if transpose:
        picture = picture.transpose(1, 0, 2)
    if flip_rows:
        picture = picture[::-1]
    if flip_columns:
        picture = picture[:, ::-1]
    return np.ascontiguousarray(picture)
