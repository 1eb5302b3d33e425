"""Which frames to take: pure functions from a number of frames to lists of frame numbers.

Follows PaddleVideo's `Sampler` where that is well defined, and differs where it is not:

- A video with fewer frames than segments: PaddleVideo repeats frame 0 (with `select_left`) or
  starts again at frame 0 after the last one (without). Here the segments are spread over the
  frames there are, so every frame is used and time never runs backwards.
- Training draws with `select_left`: PaddleVideo draws inside frames // num_seg whole frames and so
  never sees the end of a video (of 15 frames in 8 segments it only ever sees the first 8). Here a
  draw comes from the very segment whose centre evaluation takes.
- `seg_len` frames that reach beyond the last frame repeat it instead of jumping to frame 0.
- Frame numbers start at 0 everywhere.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .spec import SamplingSpec


def sample_indices(
    frames: int,
    spec: SamplingSpec,
    *,
    rng: np.random.Generator | None = None,
    times: npt.NDArray[np.float64] | None = None,
) -> list[list[int]]:
    """Frame numbers of each clip of a video.

    Args:
        frames: frames the video really has, at least 1.
        spec: frames a clip, clips a video, and how they are placed.
        rng: None for evaluation: `spec.views` clips, always the same ones. A generator for
            training: one clip, drawn at random.
        times: [frames + 1], seconds at which each frame begins, and when the last one ends; see
            `infer.clips.time_stamps`. Only `spec.by` "time" needs them; None: all frames last
            equally long.

    Returns:
        One list of `spec.length` numbers in [0, frames) for each clip.

    Raises:
        ValueError: `frames` below 1, or times that are not its.
    """
    if frames < 1:
        raise ValueError(f"frames is {frames}; a video to sample has at least 1")
    if times is not None and spec.by == "time":
        if len(times) != frames + 1:
            raise ValueError(
                f"{len(times)} times for {frames} frames; needed: one more than frames"
            )
        slots = sample_indices(frames, spec, rng=rng)
        return [_shown(numbers, times) for numbers in slots]
    if rng is not None:
        draw = dense_random if spec.kind == "dense" else random_indices
        return [draw(frames, spec, rng)]
    centre = dense_indices if spec.kind == "dense" else center_indices
    return [centre(frames, spec, view) for view in range(spec.views)]


def center_indices(frames: int, spec: SamplingSpec, view: int = 0) -> list[int]:
    """The centre of every segment; of several views, the centre of the view's part of it."""
    share = (view + 0.5) / spec.views
    if _whole_segments(frames, spec):
        length = frames // spec.num_seg
        centre = ((2 * view + 1) * length // spec.views - 1) // 2
        inside = max(centre, 0) if length >= spec.seg_len else 0
        starts = [k * length + inside for k in range(spec.num_seg)]
    else:
        starts = [int(frames / spec.num_seg * (k + share)) for k in range(spec.num_seg)]
    return _runs(starts, frames, spec)


def random_indices(frames: int, spec: SamplingSpec, rng: np.random.Generator) -> list[int]:
    """One random frame of every segment (the first of `seg_len` that fit into it)."""
    if _whole_segments(frames, spec):
        length = frames // spec.num_seg
        room = max(length - spec.seg_len, 0) + 1
        draws = rng.integers(room, size=spec.num_seg)
        starts = [k * length + int(draws[k]) for k in range(spec.num_seg)]
    else:
        shares = rng.random(spec.num_seg)
        starts = [int(frames / spec.num_seg * (k + shares[k])) for k in range(spec.num_seg)]
    return _runs(starts, frames, spec)


def dense_indices(frames: int, spec: SamplingSpec, view: int = 0) -> list[int]:
    """num_seg frames at a stride of window // num_seg; views start evenly over the video.

    A video shorter than the window is run through again from its start, as the recipe does.
    """
    last = max(frames - spec.window, 0)
    start = last // 2 if spec.views == 1 else last * view // (spec.views - 1)
    return _strided(start, frames, spec)


def dense_random(frames: int, spec: SamplingSpec, rng: np.random.Generator) -> list[int]:
    """Like `dense_indices`, from a random start."""
    start = int(rng.integers(max(frames - spec.window, 0) + 1))
    return _strided(start, frames, spec)


def _shown(slots: list[int], times: npt.NDArray[np.float64]) -> list[int]:
    """The frames that are shown in the middle of slots, of which there are as many as frames."""
    frames = len(times) - 1
    middles = times[0] + (np.array(slots) + 0.5) * ((times[-1] - times[0]) / frames)
    shown = np.searchsorted(times[:-1], middles, side="right") - 1
    return [int(number) for number in np.clip(shown, 0, frames - 1)]


def _whole_segments(frames: int, spec: SamplingSpec) -> bool:
    return not spec.select_left and frames >= spec.num_seg


def _strided(start: int, frames: int, spec: SamplingSpec) -> list[int]:
    stride = spec.window // spec.num_seg
    return [(start + k * stride) % frames for k in range(spec.num_seg)]


def _runs(starts: list[int], frames: int, spec: SamplingSpec) -> list[int]:
    # min() also guards against a float product that rounds up to `frames` itself.
    return [min(s + j, frames - 1) for s in starts for j in range(spec.seg_len)]
