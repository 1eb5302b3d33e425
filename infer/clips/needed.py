"""Selective decoding: frames out of the packets that they need, where these are proven enough.

What comes is compared with what was proven. Whenever it differs the answer is None, and every frame
of the file is decoded instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Set
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import av

from ..containers.announced import open_unprobed
from ..containers.bits import NotProven
from ..containers.limits import Limits
from ..containers.proven import Packets
from .rgb import Frames, ToRgb

FOR_THREADS = 2_000_000
"""Pixels, of all frames that are decoded, for which it pays to start threads."""
MOST_THREADS = 8


@dataclass
class Needed:
    """Frames by their numbers, width and height as shown, and how many frames were decoded."""

    kept: dict[int, Frames]
    width: int
    height: int
    decoded: int


def decode_needed(
    path: Path,
    stream: Any,
    packets: Packets,
    wanted: Set[int],
    each: Callable[[Frames], Frames] | None,
    limits: Limits,
    threads: int = 1,
) -> Needed | None:
    """Decode what the wanted frames need.

    Args:
        path: of the video, for errors.
        stream: whose decoder has not been used.
        packets: all of the stream, seen to the end.
        wanted: numbers of frames.
        each: applied to every wanted frame, in their order.
        limits: how large the video may be.
        threads: that decode it. They give the same: where they do not get on without an error, the
            answer is None.

    Returns:
        None where something is not proven, or turns out otherwise.

    Raises:
        VideoError: as `ToRgb`, and as `open_unprobed` where the file is read again; and what `each`
            raises.
    """
    needed = packets.needed(wanted, partial(open_unprobed, path, limits))
    if needed is None:
        return None
    # An error that it would go on after is one here: what it leaves out of a picture may look
    # otherwise after other pictures.
    context = stream.codec_context
    context.options = {**context.options, **packets.options, "err_detect": "explode"}
    # State of MPEG-4's decoder that follows all pictures differs between threads.
    pays = context.width * context.height * len(needed.frames) >= FOR_THREADS
    if threads > 1 and context.name == "h264" and pays:
        stream.thread_count, stream.thread_type = min(threads, MOST_THREADS), "FRAME"
    due = iter(sorted(needed.frames))
    kept: dict[int, Frames] = {}
    rgb: ToRgb | None = None
    size = (0, 0)
    frames = _frames(stream, needed.packets)
    decoded = 0
    while True:
        try:
            frame = next(frames)
        except StopIteration:
            break
        except NotProven as error:
            packets.give_up(str(error))
            return None
        except (av.FFmpegError, OSError, MemoryError):
            return None
        if frame.is_corrupt or frame.pts != next(due, None):
            return None
        if rgb is None:
            rgb, size = ToRgb(path, frame), (frame.width, frame.height)
        if (frame.width, frame.height) != size or size[0] * size[1] > limits.pixels:
            return None
        decoded += 1
        place = frame.pts
        if place in wanted:
            picture = rgb(frame)
            kept[place] = each(picture) if each else picture
    if rgb is None or decoded != len(needed.frames) or kept.keys() != wanted:
        return None
    return Needed(kept, rgb.width, rgb.height, decoded)


def _frames(stream: Any, packets: Iterable[Any]) -> Iterator[Any]:
    decode = stream.codec_context.decode
    for packet in packets:
        yield from decode(packet)
    yield from decode(None)
