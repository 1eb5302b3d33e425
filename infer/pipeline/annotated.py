"""Answers to look at: the clip with its label drawn on it, and the frames that the network saw."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np

from ..clips.array_file import is_array_file, read_array_file
from ..clips.contact_sheet import grid
from ..clips.decode import Frames, each_frame
from ..clips.frames_folder import read_frames_folder
from ..clips.time_stamps import Times, frame_times
from ..containers.limits import Limits
from ..pipeline.predictions import Prediction
from ..pipeline.rank import Ranked
from ..system.errors import VideoError
from ..system.files import replacing

SHORTEST = 240
"""Pixels of the shorter side that text is readable on; smaller frames are enlarged."""
ROWS = 5
"""Classes with a bar."""
COLUMNS = 8
"""Frames beside each other on a contact sheet."""
LARGEST_SHEET = 1 << 26
"""Pixels of a contact sheet."""
UNKNOWN_RATE = 25
"""Frames a second of pictures and arrays, which have no times."""
_TICKS = 90_000
_LINE = 22
_BEST, _OTHER, _TEXT = (96, 200, 96), (150, 150, 150), (255, 255, 255)


def save_sheet(target: Path, clips: Frames, prediction: Prediction, true: str | None) -> None:
    """Write the frames of all clips as a PNG file, pixel by pixel, a clip below the other.

    Args:
        target: the file, which is replaced.
        clips: uint8 [n, T, H, W, 3] RGB, as the network gets them.
        prediction: what came out.
        true: name of the true class, if it is known.

    Raises:
        WriteError: it cannot be written.
    """
    _, length, height, width, _ = clips.shape
    columns = min(length, COLUMNS)
    pixels = -(-length // columns) * height * columns * width
    shown = clips[: max(LARGEST_SHEET // pixels, 1)]
    sheet = np.concatenate([grid(clip, columns) for clip in shown])
    head = np.zeros((_LINE + 6, sheet.shape[1], 3), np.uint8)
    best = prediction.topk[0]
    text = f"{_ascii(best)} {best.score:.3f}" + (f", true: {_plain(true)}" if true else "")
    _write_text(head, text, (6, _LINE - 4))
    done, data = cv2.imencode(".png", np.concatenate([head, sheet])[:, :, ::-1])
    assert done
    with replacing(target) as path:
        path.write_bytes(data.tobytes())


def save_video(target: Path, video: Path, prediction: Prediction, limits: Limits) -> None:
    """Write a video again, without sound, with the label, the score and bars of the top classes.

    Args:
        target: an MP4 file, which is replaced.
        video: a file, a folder of frames or an array.
        prediction: what came out for it.
        limits: how large the video may be.

    Raises:
        VideoError: it cannot be read.
        WriteError: the file cannot be written.
    """
    shown = prediction.topk[:ROWS]
    _save(target, video, lambda time: shown, len(shown), limits)


def save_windows(
    target: Path,
    video: Path,
    topk_at: Callable[[float], Sequence[Ranked]],
    rows: int,
    limits: Limits,
) -> None:
    """The same with the answers of many windows.

    Args:
        target: an MP4 file, which is replaced.
        video: a file.
        topk_at: gives the best classes at a time, in seconds by the video's time stamps; none where
            there is no answer.
        rows: how many classes have a bar, at most `ROWS`.
        limits: how large the video may be.

    Raises:
        VideoError: it cannot be read, or does not say when its frames are shown.
        WriteError: the file cannot be written.
    """

    def at(time: float | None) -> Sequence[Ranked]:
        if time is None:
            raise VideoError(video, "does not say when its frames are shown")
        return topk_at(time)

    _save(target, video, at, min(rows, ROWS), limits)


def _save(
    target: Path,
    video: Path,
    topk_at: Callable[[float | None], Sequence[Ranked]],
    rows: int,
    limits: Limits,
) -> None:
    with replacing(target) as path, av.open(str(path), "w", format="mp4") as out:
        stream: Any = None
        stamps: Sequence[int] = ()
        times: Times | None = None
        number = 0

        def add(frame: Frames) -> None:
            nonlocal stream, stamps, times, number
            if stream is None:
                times = _times(video, limits)
                stamps = _stamps(times)
            time = None if times is None else float(times[min(number, len(times) - 1)])
            picture = _drawn(frame, topk_at(time), rows)
            if stream is None:
                stream = _stream(out, picture)
            made = av.VideoFrame.from_ndarray(picture, format="rgb24")
            after = number - len(stamps) + 1
            made.pts = stamps[number] if after <= 0 else stamps[-1] + after * _TICKS // UNKNOWN_RATE
            made.time_base = Fraction(1, _TICKS)
            number += 1
            out.mux(stream.encode(made))

        _each(video, add, limits)
        out.mux(stream.encode())


def names_for(videos: Sequence[Path], folder: Path, suffix: str) -> dict[Path, Path]:
    """A file in a folder for each video, by its name; equal names get a number."""
    taken: set[str] = set()
    found = {}
    for video in videos:
        stem = video.name if video.is_dir() else video.stem
        name, number = stem, 1
        while name.lower() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.lower())
        found[video] = folder / f"{name}{suffix}"
    return found


def _each(video: Path, add: Callable[[Frames], None], limits: Limits) -> None:
    nothing = np.empty(0, np.uint8)

    def use(frame: Frames) -> Frames:
        add(frame)
        return nothing

    if video.is_dir():
        read_frames_folder(video, range, suffix=None, each=use, limits=limits)
    elif is_array_file(video):
        read_array_file(video, range, each=use, limits=limits)
    else:
        each_frame(video, add, limits=limits)


def _times(video: Path, limits: Limits) -> Times | None:
    if video.is_dir() or is_array_file(video):
        return None
    return frame_times(video, limits=limits)


def _stamps(times: Times | None) -> list[int]:
    """Time stamps from 0, each later than the one before."""
    if times is None:
        return [0]
    found = [round(float(time - times[0]) * _TICKS) for time in times[:-1]]
    return [int(n) for n in np.maximum.accumulate(np.array(found) - np.arange(len(found)))
            + np.arange(len(found))]  # fmt: skip


def _stream(out: Any, picture: Frames) -> Any:
    stream = out.add_stream("libx264", rate=UNKNOWN_RATE, options={"crf": "20", "preset": "fast"})
    stream.height, stream.width = picture.shape[:2]
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = Fraction(1, _TICKS)
    stream.codec_context.thread_count = 1
    return stream


def _drawn(frame: Frames, topk: Sequence[Ranked], rows: int) -> Frames:
    """A frame with a panel of so many rows below it, in even numbers of pixels."""
    height, width = frame.shape[:2]
    scale = max(SHORTEST / min(height, width), 1.0)
    size = (round(width * scale / 2) * 2, round(height * scale / 2) * 2)
    shown = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    panel = np.zeros((_LINE * rows + 6, size[0], 3), np.uint8)
    panel = panel[: len(panel) // 2 * 2]
    for place, one in enumerate(topk[:rows]):
        top = 3 + place * _LINE
        end = round(one.score * size[0])
        panel[top + 2 : top + _LINE - 2, :end] = [c // 2 for c in (_OTHER if place else _BEST)]
        _write_text(panel, f"{one.score:.3f} {_ascii(one)}", (6, top + _LINE - 7))
    return np.concatenate([shown, panel])


def _write_text(picture: Frames, text: str, place: tuple[int, int]) -> None:
    cv2.putText(picture, text, place, cv2.FONT_HERSHEY_SIMPLEX, 0.45, _TEXT, 1, cv2.LINE_AA)


def _ascii(one: Ranked) -> str:
    """The label, with its number where the font lacks a letter of it."""
    return _plain(one.label) + ("" if one.label.isascii() else f" (class {one.index})")


def _plain(text: str) -> str:
    return " ".join(text.encode("ascii", "replace").decode().split())
