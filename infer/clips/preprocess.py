"""From a video file to the uint8 clips a network takes: scale, crop, nothing else.

Normalisation and layout are nodes of the exported graph. `load_clips` is the one function that
evaluation in training and deployment both use; training calls `read_scaled`, changes the frames as
it likes, and crops.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from ..containers.limits import LIMITS, Limits
from ..system.errors import NO_MEMORY, SpecError, VideoError
from .array_file import is_array_file, read_array_file
from .decode import Frames, VideoInfo, read_video
from .frames_folder import read_frames_folder
from .pixel_aspect import pixel_aspect
from .resize import resize_frame
from .sampling import sample_indices
from .spec import ClipSpec, PreprocessSpec
from .time_stamps import Times, times_for

TAKEN = 64
"""Numbers of frames that `VideoInfo.taken` has at most."""


def load_clips(
    path: str | Path,
    spec: ClipSpec,
    *,
    frames: int | None = None,
    suffix: str | None = None,
    limits: Limits = LIMITS,
    every_frame: bool = False,
    threads: int = 1,
) -> tuple[Frames, VideoInfo]:
    """The clips of one video, as evaluation and deployment see them.

    Args:
        path: a video file, a folder of numbered pictures, or a `.npy` or `.npz` file of frames.
        spec: how to sample, scale and crop.
        frames: how many pictures a folder is listed with, see `read_frames_folder`.
        suffix: the pattern of a folder's file names; None: as the folder has them.
        limits: how large the video may be.
        every_frame: see `read_video`; for a check of the whole file.
        threads: see `read_video`; above 1 where there are fewer videos than cores.

    Returns:
        uint8 [views * crops, T, crop, crop, 3] RGB, the crops of a view next to each other, and
        what is known about the file.

    Raises:
        VideoError: the file gives no frames, or is larger than allowed.
    """
    scaled, info = read_scaled(
        path,
        spec,
        frames=frames,
        suffix=suffix,
        limits=limits,
        every_frame=every_frame,
        threads=threads,
    )
    return crop_frames(scaled, spec.preprocess), info


def reason_of(error: Exception) -> str | None:
    """Why a video gives no clips, from what `load_clips` raised; None: it is not the video."""
    if isinstance(error, VideoError):
        return error.reason
    if isinstance(error, MemoryError):
        return NO_MEMORY
    if isinstance(error, cv2.error):
        # One video's odd frames must not end the others' predictions.
        no_memory = error.code == cv2.Error.StsNoMem
        return NO_MEMORY if no_memory else f"its frames cannot be resized: {error.err}"
    return None


def read_scaled(
    path: str | Path,
    spec: ClipSpec,
    *,
    rng: np.random.Generator | None = None,
    frames: int | None = None,
    suffix: str | None = None,
    limits: Limits = LIMITS,
    every_frame: bool = False,
    threads: int = 1,
) -> tuple[Frames, VideoInfo]:
    """Sampled and scaled, not yet cropped: the place where training puts its augmentation.

    Args:
        path: a video file, a folder of numbered pictures, or a `.npy` or `.npz` file of frames.
        spec: how to sample and scale.
        rng: None: the views of evaluation. A generator: one training draw (views = 1).
        frames: how many pictures a folder is listed with, see `read_frames_folder`.
        suffix: the pattern of a folder's file names; None: as the folder has them.
        limits: how large the video may be.
        every_frame: see `read_video`; for a check of the whole file.
        threads: see `read_video`; above 1 where there are fewer videos than cores.

    Returns:
        uint8 [views, T, h, w, 3] RGB, a fresh array.

    Raises:
        VideoError: the file gives no frames, or is larger than allowed.
    """
    chosen: list[list[int]] = []  # frame numbers by view
    # A file may announce more frames than it has, then the draw is repeated with the true count:
    # from the same state, so that it depends on the frames there are and on nothing else.
    state = None if rng is None else rng.bit_generator.state

    def pick(count: int) -> list[int]:
        if rng is not None and state is not None:
            rng.bit_generator.state = state
        times = times_for(path, count, spec.sampling, limits=limits)
        chosen[:] = sample_indices(count, spec.sampling, rng=rng, times=times)
        return _distinct(chosen)

    aspect: list[float] = []  # asked for when there is a frame: the file is a good one then
    scaling = 0.0

    def scale(frame: Frames) -> Frames:
        nonlocal scaling
        if not aspect:
            aspect.append(pixel_aspect(path, spec.preprocess, limits=limits))
        start = time.perf_counter()
        try:
            return scale_frame(frame, spec.preprocess, aspect=aspect[0])
        except SpecError as error:
            raise VideoError(path, str(error)) from None
        finally:
            scaling += time.perf_counter() - start

    if os.path.isdir(path):
        unique, info = read_frames_folder(
            path, pick, suffix=suffix, frames=frames, each=scale, limits=limits
        )
    elif is_array_file(path):
        unique, info = read_array_file(path, pick, each=scale, limits=limits)
    else:
        unique, info = read_video(
            path, pick, each=scale, limits=limits, every_frame=every_frame, threads=threads
        )
    taken = [number for view in chosen for number in view][:TAKEN]
    return _views(unique, chosen), replace(info, scaling=scaling, taken=tuple(taken))


def clips_of_frames(
    frames: Frames, spec: ClipSpec, *, times: Times | None = None, aspect: float = 1.0
) -> Frames:
    """The clips of a video whose frames are read already, as `load_clips` gives those of a file.

    Args:
        frames: uint8 [n, H, W, 3] RGB, all frames in their order, at least one.
        spec: how to sample, scale and crop.
        times: as for `sample_indices`.
        aspect: as for `scale_frame`.

    Returns:
        uint8 [views * crops, T, crop, crop, 3] RGB.

    Raises:
        SpecError: the frames cannot be scaled in their shape, or are smaller than the crop.
    """
    chosen = sample_indices(len(frames), spec.sampling, times=times)
    scaled = scale_frames(frames[_distinct(chosen)], spec.preprocess, aspect=aspect)
    return crop_frames(_views(scaled, chosen), spec.preprocess)


def clips_of_scaled(
    frames: Sequence[Frames], spec: ClipSpec, *, times: Times | None = None
) -> Frames:
    """The same of frames that are scaled already, each uint8 [h, w, 3].

    Raises:
        SpecError: the frames are smaller than the crop.
    """
    chosen = sample_indices(len(frames), spec.sampling, times=times)
    unique = np.stack([frames[number] for number in _distinct(chosen)])
    return crop_frames(_views(unique, chosen), spec.preprocess)


def _distinct(chosen: Sequence[Sequence[int]]) -> list[int]:
    """Numbers of the frames that the views take, each once."""
    return sorted({number for view in chosen for number in view})


def _views(unique: Frames, chosen: Sequence[Sequence[int]]) -> Frames:
    """[frames of `_distinct`, h, w, 3] to [views, T, h, w, 3]."""
    place = {number: k for k, number in enumerate(_distinct(chosen))}
    return unique[np.array([[place[number] for number in view] for view in chosen])]


def scaled_size(width: int, height: int, spec: PreprocessSpec) -> tuple[int, int]:
    """(width, height) after scaling, as PaddleVideo's `Scale` computes it.

    A frame whose shorter side already is `short_size` stays as it is, whatever its shape.

    Raises:
        SpecError: a frame more than 100 times as long as it is wide, kept in its shape.
    """
    short = spec.short_size
    if min(width, height) == short:
        return width, height
    if spec.fixed_ratio:
        long = int(short * 4.0 / 3.0)
    elif spec.keep_ratio is False:
        long = short
    else:
        long_now, short_now = max(width, height), min(width, height)
        if spec.do_round:
            long = int(long_now * (short / short_now) + 0.5)
        else:
            long = int(long_now * short / short_now)
        if long > 100 * short:
            raise SpecError(f"a frame of {width}x{height} is too narrow to scale in its shape")
    return (short, long) if width <= height else (long, short)


def scale_frame(frame: Frames, spec: PreprocessSpec, *, aspect: float = 1.0) -> Frames:
    """uint8 [H, W, 3] to uint8 [h, w, 3].

    Args:
        frame: as it is stored.
        spec: how to scale.
        aspect: width of a shown pixel over its height, see `infer.clips.pixel_aspect`.
    """
    height, width = frame.shape[:2]
    shown = max(round(width * aspect), 1)
    size = scaled_size(shown, height, spec)
    if size == (width, height):
        return frame
    return resize_frame(frame, size, spec.resize)


def scale_frames(frames: Frames, spec: PreprocessSpec, *, aspect: float = 1.0) -> Frames:
    """uint8 [n, H, W, 3] to uint8 [n, h, w, 3]; arguments as of `scale_frame`."""
    return np.stack([scale_frame(frame, spec, aspect=aspect) for frame in frames])


def crop_frames(frames: Frames, spec: PreprocessSpec) -> Frames:
    """uint8 [views, T, h, w, 3] to a contiguous uint8 [views * crops, T, crop, crop, 3].

    Raises:
        SpecError: the frames are smaller than the crop.
    """
    if spec.crops == 1:
        return np.ascontiguousarray(center_crop(frames, spec.crop))
    cut = np.stack(three_crops(frames, spec.crop), axis=1)
    return cut.reshape(-1, *cut.shape[2:])


def three_crops(frames: Frames, size: int) -> list[Frames]:
    """Squares of `size` at the left, at the right and in the middle, all at half the height.

    Offsets are multiples of a whole quarter of the room, as in PaddleVideo's `GroupFullResSample`:
    up to three columns at the right are in no crop.

    Args:
        frames: uint8 [..., H, W, 3].
        size: side of the squares in pixels.

    Returns:
        Three views, uint8 [..., size, size, 3].

    Raises:
        SpecError: the frames are smaller than the crop.
    """
    down, right = (room // 4 for room in _room(frames, size))
    return [_cut(frames, size, 2 * down, quarters * right) for quarters in (0, 4, 2)]


def center_crop(frames: Frames, size: int) -> Frames:
    """The square of `size` at the centre: uint8 [..., H, W, 3] to a view [..., size, size, 3].

    Half pixels are rounded as PaddleVideo's `CenterCrop` rounds them (to the even neighbour).

    Raises:
        SpecError: the frames are smaller than the crop.
    """
    height, width = _room(frames, size)
    return _cut(frames, size, round(height / 2), round(width / 2))


def _room(frames: Frames, size: int) -> tuple[int, int]:
    """Rows and columns that a crop leaves out."""
    height, width = frames.shape[-3:-1]
    if height < size or width < size:
        raise SpecError(
            f"frames of {width}x{height} are smaller than the crop of {size}x{size}; "
            f"scale them to a short side of at least {size} first"
        )
    return height - size, width - size


def _cut(frames: Frames, size: int, top: int, left: int) -> Frames:
    return frames[..., top : top + size, left : left + size, :]
