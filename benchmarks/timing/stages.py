"""One clip from file to label, by the functions that deployment runs, with a clock between them.

`infer.clips.preprocess.load_clips` scales each frame as soon as it is decoded; so the scaling is
timed inside the reading and taken off it. What is timed is compared with what deployment does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from infer.clips.decode import Frames, read_video
from infer.clips.frames_folder import read_frames_folder
from infer.clips.pixel_aspect import pixel_aspect
from infer.clips.preprocess import crop_frames, load_clips, scale_frame
from infer.clips.sampling import sample_indices
from infer.clips.spec import ClipSpec
from infer.clips.time_stamps import times_for
from infer.pipeline.rank import Ranked, top_k
from infer.runtimes.base import Clips, Logits
from train.config.list_format import FRAME_SUFFIX
from train.data.lists import Sample

Clock = Callable[[], float]

READ, PREPROCESS, NETWORK, RANK, TOTAL = "read", "preprocess", "network", "rank", "total"
STAGES = (READ, PREPROCESS, NETWORK, RANK)
TOP = 5


@dataclass(frozen=True)
class TimedAnswer:
    """A clip's labels, best first, the pixels they came from, and seconds by stage and in total."""

    ranked: tuple[Ranked, ...]
    clips: Clips
    seconds: dict[str, float]


def answer(
    sample: Sample,
    spec: ClipSpec,
    run: Callable[[Clips], Logits],
    classes: Sequence[str],
    *,
    suffix: str = "",
    clock: Clock = time.perf_counter,
) -> TimedAnswer:
    """Read, preprocess, run and rank one sample, nothing side by side.

    Raises:
        VideoError: the sample gives no frames.
    """
    views: list[list[int]] = []
    aspect: list[float] = []
    scaling = 0.0

    def pick(count: int) -> list[int]:
        times = times_for(sample.path, count, spec.sampling)
        views[:] = sample_indices(count, spec.sampling, times=times)
        return sorted({index for view in views for index in view})

    def scale(frame: Frames) -> Frames:
        nonlocal scaling
        begun = clock()
        if not aspect:
            aspect.append(pixel_aspect(sample.path, spec.preprocess))
        scaled = scale_frame(frame, spec.preprocess, aspect=aspect[0])
        scaling += clock() - begun
        return scaled

    start = clock()
    if sample.frames is None:
        frames, _ = read_video(sample.path, pick, each=scale)
    else:
        frames, _ = read_frames_folder(
            sample.path, pick, suffix=suffix or FRAME_SUFFIX, frames=sample.frames, each=scale
        )
    read = clock()
    unique = sorted({index for view in views for index in view})
    chosen = frames[np.searchsorted(unique, np.asarray(views))]
    clips = crop_frames(chosen, spec.preprocess)
    ready = clock()
    logits = run(clips)
    answered = clock()
    ranked = top_k(logits, TOP, classes)
    end = clock()
    return TimedAnswer(
        tuple(ranked),
        clips,
        {
            READ: read - start - scaling,
            PREPROCESS: scaling + ready - read,
            NETWORK: answered - ready,
            RANK: end - answered,
            TOTAL: end - start,
        },
    )


def pixels_of_deployment(sample: Sample, spec: ClipSpec, *, suffix: str = "") -> Clips:
    """The clips that `infer/predict.py` would give to the network."""
    clips, _ = load_clips(sample.path, spec, frames=sample.frames, suffix=suffix or FRAME_SUFFIX)
    return clips
