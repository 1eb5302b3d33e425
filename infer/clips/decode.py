"""Exact frames out of a video file, whatever its header claims.

Where the packets prove that it gives the same, only what is needed is decoded (`.needed`). Else
everything is decoded in order, and what was asked for is kept. `pick` is then asked with the number
of frames that really decode; a file that has other than what its packets announce is decoded twice.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..containers.announced import Announced, announced, open_unprobed
from ..containers.damage import cut_off_or
from ..containers.formats import check_file, open_video
from ..containers.limits import LIMITS, Limits
from ..containers.proven import Packets
from ..system.errors import NO_MEMORY, VideoError
from .frames_or_errors import frames_of, frames_or_errors, is_too_large
from .needed import decode_needed
from .rgb import Frames, ToRgb

Pick = Callable[[int], Sequence[int]]
Each = Callable[[Frames], Frames]

_ASKED_FOR = "asked for"


@dataclass(frozen=True)
class VideoInfo:
    """What is known about a video after reading it.

    width, height   pixels after rotation
    fps             average frame rate, None if the file does not say
    header_frames   frames the header claims, None if it does not say; often wrong
    frames          frames that decode
    damaged         parts of what was decoded did not decode or decoded with errors, or the end of
                    the file is missing
    lost            what shows that the end is missing ("ends after 3.20 of 10.00 seconds"), or ""
    decoded         how many frames were decoded, where packets prove that those asked for need no
                    more; None: all were. Of the others `damaged` says what their headers and
                    structure show, and not whether bits inside their pictures are wrong: to check
                    a file, read it with `every_frame=True` or `each_frame`
    full_decoding   why all frames were decoded ("codec vp9", "fields", "asked for"); "" where
                    fewer were, and of a folder of pictures
    scaling         seconds of the reading in which frames were scaled
    taken           numbers of the first frames of the clips, view by view

    The last four say how it was read: two that differ in them only are equal.
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
    decoded: int | None = field(default=None, compare=False)
    full_decoding: str = field(default="", compare=False)
    scaling: float = field(default=0.0, compare=False)
    taken: Sequence[int] = field(default=(), compare=False)


def read_video(
    path: str | Path,
    pick: Pick,
    *,
    each: Each | None = None,
    limits: Limits = LIMITS,
    every_frame: bool = False,
    threads: int = 1,
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
        every_frame: decode also what nobody asked for: the same frames, and `damaged` tells of
            the whole file.
        threads: for selective decoding of H.264; everything else takes one. The answer does not
            depend on it.

    Returns:
        uint8 [n, H, W, 3] RGB, rotated and mirrored as the file says, and what is known about
        the file. Frames that change size within a file come out in the size of the first one.

    Raises:
        VideoError: missing, empty, not a video, larger than allowed, or nothing decodes.
    """
    path = Path(path)
    check_file(path, limits)
    container, stream = open_unprobed(path, limits)
    with container:
        packets = Packets(container, stream, every_frame=every_frame)
        told = announced(path, container, stream, limits, see=packets.see)
        packets.end(0 if told.lost or told.broken else told.packets)
        expected = packets.frames or max(told.packets, 1)
        if_damaged = packets.options if packets.frames else {}
        if every_frame:
            packets.give_up(_ASKED_FOR)
        wanted = list(pick(expected))
        chosen = _needed(path, stream, packets, wanted, told, each, limits, threads)
        if chosen is not None:
            return chosen
        every = packets.every()
        if every is not None:
            rate = _rate_of(path, stream, limits)
            frames = frames_of(every, stream)
            kept, found = _keep(path, frames, stream, rate, set(wanted), each, limits)
    if every is None:
        kept, found = _decode(path, set(wanted), each, limits)
    options: Mapping[str, str] = {}
    if found.damaged and if_damaged:
        again = _decode(path, set(wanted), each, limits, if_damaged)
        if 2 * again[1].errors < again[1].frames:  # else it has bugs that it does not name
            (kept, found), options = again, if_damaged
    if found.frames != expected:
        wanted = list(pick(found.frames))
        if not kept.keys() >= set(wanted):
            kept, repeated = _decode(path, set(wanted), each, limits, options)
            if repeated.frames != found.frames:
                raise VideoError(path, "decodes differently every time")
    missing = sorted(set(wanted) - kept.keys())
    if missing or not wanted:
        raise ValueError(f"pick gave {missing or 'nothing'} for a video of {found.frames} frames")
    why = _ASKED_FOR if every_frame else packets.why_not
    info = replace(_info(path, told, found), full_decoding=why)
    return np.stack([kept[i] for i in wanted]), info


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

    container, stream = open_unprobed(path, limits)
    with container:
        told = announced(path, container, stream, limits)
    _, found = _decode(path, range(sys.maxsize), use, limits)
    return replace(_info(path, told, found), full_decoding=_ASKED_FOR)


def _needed(
    path: Path,
    stream: Any,
    packets: Packets,
    wanted: Sequence[int],
    told: Announced,
    each: Each | None,
    limits: Limits,
    threads: int,
) -> tuple[Frames, VideoInfo] | None:
    """The answer of `read_video` by less than full decoding, or None; then `packets` says why."""
    if packets.why_not:
        return None
    if not wanted or not all(0 <= k < packets.frames for k in wanted):
        packets.give_up("frames that the file does not announce")
        return None
    frames = packets.frames
    got = decode_needed(path, stream, packets, set(wanted), each, limits, threads)
    if got is None:
        packets.give_up("a picture did not decode as expected")
        return None
    rate = _rate_of(path, stream, limits)
    found = _Found(stream.codec_context.name, rate, got.width, got.height, frames)
    info = replace(_info(path, told, found), decoded=got.decoded)
    return np.stack([got.kept[k] for k in wanted]), info


def _rate(stream: Any) -> float | None:
    rate = stream.average_rate or stream.guessed_rate
    return float(rate) if rate else None


def _rate_of(path: Path, stream: Any, limits: Limits) -> float | None:
    """Of a file that was not probed."""
    if stream.average_rate:  # FFmpeg estimates it from frames that it decodes only where it is not
        return _rate(stream)
    container, same = open_video(path, limits)
    with container:
        return _rate(same)


@dataclass
class _Found:
    codec: str
    fps: float | None
    width: int = 0
    height: int = 0
    frames: int = 0
    errors: int = 0
    left_out: str = ""

    @property
    def damaged(self) -> bool:
        return bool(self.errors or self.left_out)


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
    path: Path,
    wanted: Container[int],
    each: Each | None,
    limits: Limits,
    options: Mapping[str, str] = MappingProxyType({}),
) -> tuple[dict[int, Frames], _Found]:
    container, stream = open_video(path, limits)
    with container:
        stream.codec_context.options = {**stream.codec_context.options, **options}
        frames = frames_or_errors(container, stream)
        return _keep(path, frames, stream, _rate(stream), wanted, each, limits)


def _keep(
    path: Path,
    frames: Iterator[Any],
    stream: Any,
    rate: float | None,
    wanted: Container[int],
    each: Each | None,
    limits: Limits,
) -> tuple[dict[int, Frames], _Found]:
    found = _Found(stream.codec_context.name, rate)
    kept: dict[int, Frames] = {}
    rgb: ToRgb | None = None
    for frame in frames:
        if is_too_large(frame, stream, limits):
            most = f"{limits.pixels:,} pixels (--max-pixels of predict)"
            found.left_out = f"left out: frames of more than {most}"
            continue
        if isinstance(frame, MemoryError):
            raise VideoError(path, NO_MEMORY)
        if isinstance(frame, Exception):
            found.errors += 1
            continue
        if rgb is None:
            rgb = ToRgb(path, frame)
            found.width, found.height = rgb.width, rgb.height
        found.errors += bool(frame.is_corrupt)
        if found.frames in wanted:
            picture = rgb(frame)
            kept[found.frames] = each(picture) if each else picture
        found.frames += 1
        limits.check_frames(path, found.frames)
    if found.frames == 0:
        why = f"no frame decodes ({found.codec})"
        raise VideoError(
            path, f"{why}; {found.left_out}" if found.left_out else cut_off_or(path, why)
        )
    return kept, found
