"""What is done with one video: see whether it is whole, make frames or a smaller copy of it.

Results appear under their name only when they are complete. What stands in the way of writing them
says nothing about the video, and ends the work.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import cv2
import numpy as np

from infer.clips.decode import Frames, VideoInfo, each_frame
from infer.clips.frames_folder import numbering
from infer.clips.jpeg import jpeg
from infer.clips.pictures import read_picture
from infer.clips.preprocess import scale_frame
from infer.clips.spec import PreprocessSpec
from infer.containers.formats import open_video
from infer.system.errors import VideoError, os_reason
from infer.system.files import writing
from train.config.list_format import FRAME_SUFFIX
from train.data.first_frame import check_first_frame

Check = Literal["none", "quick", "full"]

QUALITY = 95
"""Of JPEG frames, 0 to 100."""
CRF = "18"
"""Of smaller videos: x264's constant rate factor; differences cannot be seen."""
GO_ON = "once that is mended, the same command goes on where it was"
"""What to do where results cannot be written."""


@dataclass(frozen=True)
class Work:
    """What to do with every video.

    Attributes:
        videos: folder that the paths start from.
        check: `none` takes every file, `quick` wants a first frame, `full` decodes all.
        short_side: pixels that the shorter side is reduced to, or None.
        frames: folder for JPEG frames, or None.
        smaller: folder for reduced videos, or None.
        pictures: pattern of the frame names where the dataset already comes as frames.
    """

    videos: str
    check: Check = "quick"
    short_side: int | None = None
    frames: str | None = None
    smaller: str | None = None
    pictures: str | None = None


@dataclass(frozen=True)
class Outcome:
    """What became of a video.

    Attributes:
        path: of the file or folder to list, relative to where its kind lies.
        frames: how many there are, where that was counted.
        problem: why it cannot be used; empty otherwise.
        damaged: parts of it do not decode, or frames are missing.
        gaps: numbers of frames that are missing in the middle; those before them are listed.
    """

    path: str
    frames: int | None = None
    problem: str = ""
    damaged: bool = False
    gaps: str = ""


def process_video(job: tuple[str, Work]) -> tuple[str, Outcome]:
    """Do the work on one video; what is wrong with the video is part of the outcome.

    Raises:
        WriteError: what was made of it cannot be written.
    """
    path, work = job
    cv2.setNumThreads(1)
    try:
        if work.pictures is not None:
            return path, _look_at_pictures(path, work)
        if work.frames is not None:
            return path, _extract(path, work)
        if work.smaller is not None:
            return path, _shrink(path, work)
        return path, _look(path, work)
    except VideoError as error:
        return path, Outcome(path, problem=error.reason)
    except OSError as error:
        return path, Outcome(path, problem=f"{error.filename or path}: {os_reason(error)}")


def _look(path: str, work: Work) -> Outcome:
    """Whether a video can be used at all."""
    file = Path(work.videos) / path
    if work.check == "full":
        info = each_frame(file, lambda frame: None)
        return Outcome(path, frames=info.frames, damaged=info.damaged)
    if work.check == "quick":
        check_first_frame(file)
    return Outcome(path)


def _look_at_pictures(path: str, work: Work) -> Outcome:
    """Count the frames of a folder, which must be numbered from 1 or 0, up to the first gap."""
    assert work.pictures is not None
    folder = Path(work.videos) / path
    found = numbering(folder, work.pictures)
    first = found.first
    end = found.missing[0][0] if found.missing else first + found.pictures
    if end == first:
        names = " nor ".join(work.pictures.format(number) for number in (0, 1))
        raise VideoError(folder, f"no frames: neither {names} is there")
    if work.check != "none":
        for number in range(first, end) if work.check == "full" else (first,):
            picture = folder / work.pictures.format(number)
            try:
                read_picture(picture)
            except VideoError as error:
                raise VideoError(folder, f"frame {picture.name} {error.reason}") from None
    return Outcome(path, frames=end - first, damaged=bool(found.missing), gaps=found.gaps)


def _extract(path: str, work: Work) -> Outcome:
    """Write every frame as `img_00001.jpg`, ...; the folder appears when it is complete."""
    assert work.frames is not None
    name = str(Path(path).with_suffix(""))
    folder = Path(work.frames) / name
    part = folder.with_name(f".{folder.name}.part")
    count = 0

    def write(frame: Frames) -> None:
        nonlocal count
        count += 1
        picture = jpeg(_reduced(frame, work.short_side), QUALITY)
        (part / FRAME_SUFFIX.format(count)).write_bytes(picture)

    # Reading raises no OSError: see infer.clips.decode.
    with writing(folder, GO_ON):
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        try:
            info = each_frame(Path(work.videos) / path, write)
            shutil.rmtree(folder, ignore_errors=True)
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return Outcome(name, frames=count, damaged=info.damaged)


def _shrink(path: str, work: Work) -> Outcome:
    """Write the same frames, smaller, as H.264 in MP4; sound is left out."""
    assert work.smaller is not None
    name = str(Path(path).with_suffix(".mp4"))
    target = Path(work.smaller) / name
    part = target.with_name(f".{target.name}.part")
    source = Path(work.videos) / path
    with writing(target, GO_ON):
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            info = _encode(source, part, work.short_side)
            os.replace(part, target)
        except av.FFmpegError as error:
            if isinstance(error, OSError):
                raise
            raise VideoError(source, f"cannot be encoded: {error.strerror}") from error
        finally:
            part.unlink(missing_ok=True)
    return Outcome(name, frames=info.frames, damaged=info.damaged)


def _encode(source: Path, part: Path, short_side: int | None) -> VideoInfo:
    """Raises OSError only for what is written."""
    with av.open(str(part), "w", format="mp4") as container:
        stream: Any = None

        def write(frame: Frames) -> None:
            nonlocal stream
            frame = _reduced(frame, short_side, even=True)
            if stream is None:
                stream = container.add_stream("libx264", rate=_rate(source))
                stream.height, stream.width = frame.shape[:2]
                stream.pix_fmt, stream.options = "yuv420p", {"crf": CRF}
                stream.thread_count = 1
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24")
            container.mux(stream.encode(picture))

        info = each_frame(source, write)
        container.mux(stream.encode())
    return info


def _rate(path: Path) -> Fraction:
    container, stream = open_video(path)
    with container:
        rate = stream.average_rate
    return Fraction(rate).limit_denominator(1001) if rate else Fraction(25)


def _reduced(frame: Frames, short_side: int | None, *, even: bool = False) -> Frames:
    """In its shape, with a shorter side of `short_side` if it is larger."""
    if short_side is not None and min(frame.shape[:2]) > short_side:
        frame = scale_frame(
            frame, PreprocessSpec(short_size=short_side, fixed_ratio=False, crop=1, do_round=True)
        )
    if even:
        # H.264 in 4:2:0 has no odd sizes.
        frame = frame[: max(frame.shape[0] // 2 * 2, 2), : max(frame.shape[1] // 2 * 2, 2)]
    return np.ascontiguousarray(frame)
