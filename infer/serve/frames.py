"""The frames that the network saw, as small pictures."""

from __future__ import annotations

from typing import Any

from ..clips.decode import VideoInfo
from ..clips.jpeg import data_uri, jpeg
from ..clips.preprocess import TAKEN
from ..clips.spec import ClipSpec
from ..runtimes.base import Clips

_QUALITY = 85


def frame_pictures(clips: Clips, info: VideoInfo, spec: ClipSpec) -> list[dict[str, Any]]:
    """The first frames of a video's clips, in order.

    Args:
        clips: uint8 [views * crops, T, H, W, 3], RGB.
        info: of the video.
        spec: by which the clips were taken.

    Returns:
        For each frame its clip, its number in the video from 0, its time in seconds by the average
        frame rate (None: not known), and a JPEG as an address (data:).
    """
    found: list[dict[str, Any]] = []
    for clip, frames in enumerate(clips):
        first = clip // spec.preprocess.crops * len(frames)
        # A crop shows the frames of its view. Where more are taken than told, the others are left.
        for number, frame in zip(info.taken[first:], frames, strict=False):
            if len(found) == TAKEN:
                return found
            seconds = round(number / info.fps, 3) if info.fps else None
            image = data_uri(jpeg(frame, _QUALITY))
            found.append({"clip": clip, "frame": number, "seconds": seconds, "image": image})
    return found
