"""Exact frames out of a video file: decode everything in order, keep what was asked for.

What a header claims and what decoding finds are two things. `pick` is asked with the number of
frames that really decode; a file that has other than what its packets announce is decoded twice.
"""

from __future__ import annotations

import contextlib
import functools
import struct
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import numpy.typing as npt

from infer.errors import VideoError
from infer.file_kind import not_a_video

Frames = npt.NDArray[np.uint8]
Pick = Callable[[int], Sequence[int]]
Each = Callable[[Frames], Frames]

# Playlists, which would open other files or addresses (and wait for a live one to grow), and text
# shown as pictures. They are not even tried.
_REFUSED_FORMATS = frozenset(
    ("hls", "applehttp", "dash", "webm_dash_manifest", "concat", "imf", "sdp", "rtsp", "rtp", "tty")
)


@dataclass(frozen=True)
class VideoInfo:
    """What is known about a video after reading it.

    width, height   pixels after rotation
    fps             average frame rate, None if the file does not say
    header_frames   frames the header claims, None if it does not say; often wrong
    frames          frames that decode
    damaged         parts of the bitstream did not decode or decoded with errors
    """

    path: Path
    codec: str
    width: int
    height: int
    fps: float | None
    header_frames: int | None
    frames: int
    damaged: bool


def read_video(
    path: str | Path, pick: Pick, *, each: Each | None = None
) -> tuple[Frames, VideoInfo]:
    """Read chosen frames of a video.

    Args:
        pick: from the number of frames (at least 1) to the frame numbers wanted, in the order
            wanted, repeats allowed. It is called a second time where not every packet of the
            file becomes a frame, so what counts is its last answer.
        each: applied to every kept frame (uint8 [H, W, 3] to uint8 [h, w, 3]) as soon as it is
            decoded, for example to shrink it, so that large frames never pile up.

    Returns:
        uint8 [n, H, W, 3] RGB, rotated and mirrored as the file says, and what is known about
        the file. Frames that change size within a file come out in the size of the first one.

    Raises:
        VideoError: missing, empty, not a video, or nothing decodes.
    """
    path = Path(path)
    _check_file(path)
    header, expected = _announced(path)
    wanted = list(pick(max(expected, 1)))
    kept, found = _decode(path, set(wanted), each)
    if found.frames != expected:
        wanted = list(pick(found.frames))
        if not kept.keys() >= set(wanted):
            kept, again = _decode(path, set(wanted), each)
            if again.frames != found.frames:
                raise VideoError(path, "decodes differently every time")
    missing = sorted(set(wanted) - kept.keys())
    if missing or not wanted:
        raise ValueError(f"pick gave {missing or 'nothing'} for a video of {found.frames} frames")
    return np.stack([kept[i] for i in wanted]), _info(path, header, found)


def each_frame(path: str | Path, each: Callable[[Frames], None]) -> VideoInfo:
    """Call `each` with every frame of a video, in order: uint8 [H, W, 3] RGB, as `read_video`
    gives them, one at a time in memory. What `each` raises ends the reading.

    Raises:
        VideoError: as `read_video`.
    """
    path = Path(path)
    _check_file(path)
    nothing = np.empty(0, np.uint8)

    def use(frame: Frames) -> Frames:
        each(frame)
        return nothing

    header, _ = _announced(path)
    _, found = _decode(path, range(sys.maxsize), use)
    return _info(path, header, found)


def read_frames_folder(
    folder: str | Path,
    pick: Pick,
    *,
    suffix: str = "img_{:05}.jpg",
    frames: int | None = None,
    each: Each | None = None,
) -> tuple[Frames, VideoInfo]:
    """Read chosen frames of a folder of pictures, numbered from 1 as PaddleVideo numbers them.

    Args:
        pick, each: as in `read_video`. Frame number 0 is the picture `suffix.format(1)`.
        suffix: file name with one place for the number.
        frames: pictures the list claims; None: count them.

    Raises:
        VideoError: no such folder, no pictures, or a wanted picture is missing or unreadable.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise VideoError(folder, "no such folder of frames")
    if frames is None:
        frames = 0
        while (folder / suffix.format(frames + 1)).is_file():
            frames += 1
    if frames < 1:
        raise VideoError(folder, f"no frames: {suffix.format(1)} is not there")
    wanted = list(pick(frames))
    kept: dict[int, Frames] = {}
    height = width = 0
    for number in sorted(set(wanted)):
        name = suffix.format(number + 1)
        try:
            data = np.frombuffer((folder / name).read_bytes(), np.uint8)
        except OSError:
            raise VideoError(folder, f"frame {name} is missing ({frames} claimed)") from None
        flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
        picture = cv2.imdecode(data, flags) if data.size else None
        if picture is None:
            raise VideoError(folder, f"frame {name} is not a readable picture")
        frame = np.ascontiguousarray(picture[:, :, ::-1], dtype=np.uint8)
        height, width = frame.shape[:2]
        kept[number] = each(frame) if each else frame
    sizes = {frame.shape for frame in kept.values()}
    if len(sizes) > 1:
        raise VideoError(folder, f"pictures of different sizes: {sorted(sizes)}")
    info = VideoInfo(folder, "frames", width, height, None, frames, frames, damaged=False)
    return np.stack([kept[i] for i in wanted]), info


@dataclass
class _Found:
    codec: str
    fps: float | None
    width: int = 0
    height: int = 0
    frames: int = 0
    damaged: bool = False


def _info(path: Path, header: int | None, found: _Found) -> VideoInfo:
    return VideoInfo(
        path=path,
        codec=found.codec,
        width=found.width,
        height=found.height,
        fps=found.fps,
        header_frames=header,
        frames=found.frames,
        damaged=found.damaged,
    )


def _check_file(path: Path) -> None:
    try:
        if path.is_dir():
            raise VideoError(path, "is a folder, not a video file")
        if not path.is_file():
            what = "is not a regular file" if path.exists() else "no such file"
            raise VideoError(path, what)
        if path.stat().st_size == 0:
            raise VideoError(path, "the file is empty")
        with path.open("rb"):
            pass
    except OSError as error:
        raise VideoError(path, f"cannot be read: {error.strerror or error}") from None
    except ValueError as error:
        raise VideoError(path, f"not a usable file name: {error}") from None


def _open(path: Path) -> tuple[Any, Any]:
    """Container and its best video stream, decoding in one thread (order and damage are then
    the same every time; files are decoded side by side instead)."""
    try:
        # "file:" so that a name like "a:b.mp4" is not taken for a protocol.
        container: Any = av.open(
            f"file:{path}",
            metadata_errors="replace",
            options={"protocol_whitelist": "file", "format_whitelist": _formats()},
        )
    except (av.FFmpegError, OSError, ValueError):
        raise VideoError(path, not_a_video(path)) from None
    try:
        name = container.format.name
        if name.startswith("image2") or name.endswith("_pipe"):
            raise VideoError(path, "is a still picture, not a video")
        stream = container.streams.best("video")
        if stream is None:
            kinds = sorted({s.type for s in container.streams})
            raise VideoError(path, f"has no picture, only {' and '.join(kinds) or 'nothing'}")
        if stream.disposition & av.stream.Disposition.attached_pic:
            raise VideoError(path, "has no video, only sound and a cover picture")
        if stream.codec_context is None:
            raise VideoError(path, "is in a format that no installed decoder knows")
        stream.thread_count = 1
        return container, stream
    except BaseException:
        container.close()
        raise


@functools.cache
def _formats() -> str:
    names = {n for several in av.formats_available for n in several.split(",")}
    return ",".join(sorted(names - _REFUSED_FORMATS))


def _announced(path: Path) -> tuple[int | None, int]:
    """Frames the header claims, and frames to expect: packets that will be shown. Counting them
    takes a moment, decoding a file twice because its header counts others takes much longer."""
    container, stream = _open(path)
    with container:
        packets = 0
        with contextlib.suppress(av.FFmpegError, OSError):
            for packet in container.demux(stream):
                packets += bool(packet.size) and not packet.is_discard
        return max(int(stream.frames), 0) or None, packets


def _decode(
    path: Path, wanted: Container[int], each: Each | None
) -> tuple[dict[int, Frames], _Found]:
    container, stream = _open(path)
    with container:
        rate = stream.average_rate or stream.guessed_rate
        found = _Found(stream.codec_context.name, float(rate) if rate else None)
        kept: dict[int, Frames] = {}
        turn: tuple[bool, bool, bool] | None = None
        size = (0, 0)
        for frame in _frames(container, stream):
            if frame is None:
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
    if found.frames == 0:
        raise VideoError(path, f"no frame decodes ({found.codec})")
    return kept, found


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Frames in order; None stands for a place where the bitstream is broken."""
    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets)
        except StopIteration:
            return
        except (av.FFmpegError, OSError):
            yield None
            break
        if packet.is_corrupt:  # the file ends inside it, or its container says so
            yield None
        try:
            yield from packet.decode()
        except (av.FFmpegError, OSError):
            yield None
    try:  # the file broke off: what the decoder still holds
        yield from stream.codec_context.decode(None)
    except (av.FFmpegError, OSError):
        yield None


def _turn(frame: Any) -> tuple[bool, bool, bool]:
    """(transpose, then flip rows, then flip columns) from the display matrix; slanted or
    impossible matrices are ignored. A point (x, y) is shown at (a x + c y, b x + d y)."""
    for data in frame.side_data:
        if data.type.name == "DISPLAYMATRIX" and len(bytes(data)) >= 36:
            a, b, _, c, d = struct.unpack("=5i", bytes(data)[:20])
            if b == c == 0 and a and d:
                return False, d < 0, a < 0
            if a == d == 0 and b and c:
                return True, b < 0, c < 0
    return False, False, False


def _rgb(path: Path, frame: Any, size: tuple[int, int], turn: tuple[bool, bool, bool]) -> Frames:
    try:
        picture: Frames = frame.to_ndarray(format="rgb24", width=size[0], height=size[1])
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
