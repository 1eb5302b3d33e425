"""One clip from file to label by stages, and many clips, by the functions that `predict` runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common.errors import BenchmarkError
from benchmarks.peers.paddlevideo import PEER, PaddleVideo
from benchmarks.timing.latency import Timings, ratio, stages_in_turns, summarise
from infer.api import Model
from infer.clips.decode import Frames, VideoInfo
from infer.clips.preprocess import load_clips
from infer.clips.spec import ClipSpec
from infer.pipeline.predictions import predict_videos
from infer.system.hardware import MOST_DECODERS, cores

READ, PREPARE, NETWORK, REST, TOTAL = "read", "prepare", "network", "rest", "total"
"""`prepare` is reading and preprocessing; `read` the part of ours that is not scaling."""

Loop = Callable[[Sequence[Path]], float]
"""Seconds that it takes to label these files."""


def one_clip(model: Model, file: Path, *, threads: int) -> dict[str, float]:
    """Seconds by stage of labelling one file, as `Model.predict` does where it is given one.

    Raises:
        BenchmarkError: there is no answer.
    """
    seconds: dict[str, float] = {}

    def load(path: Path, spec: ClipSpec) -> tuple[Frames, VideoInfo]:
        begun = time.perf_counter()
        clips, info = load_clips(path, spec, threads=threads)
        seconds[PREPARE] = time.perf_counter() - begun
        seconds[READ] = seconds[PREPARE] - info.scaling
        return clips, info

    def run(clips: Frames) -> np.ndarray:
        begun = time.perf_counter()
        logits = model.logits(clips)
        seconds[NETWORK] = time.perf_counter() - begun
        return logits

    begun = time.perf_counter()
    (found,) = predict_videos(
        [file], run, model.bundle.spec, model.classes, workers=threads, load=load
    )
    seconds[TOTAL] = time.perf_counter() - begun
    if found.error is not None:
        raise BenchmarkError(f"{file}: {found.error}")
    seconds[REST] = seconds[TOTAL] - seconds[PREPARE] - seconds[NETWORK]
    return seconds


def latency(
    peer: PaddleVideo,
    models: Mapping[str, Model],
    files: Sequence[Path],
    *,
    threads: int,
    budget: float,
    repetitions: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Time one clip at a time, for about `budget` seconds.

    Returns:
        JSON-ready, by name: its stages, and of ours how many times as fast as PaddleVideo it is
        from file to label. `limit` says what is left if all but reading took no time: the share of
        reading in the whole, and how many times as fast it would be then.
    """
    reading = min(threads, cores(), MOST_DECODERS)
    calls = {
        cell: lambda item, model=model: one_clip(model, files[item], threads=reading)
        for cell, model in models.items()
    }
    timings = stages_in_turns(
        {PEER: lambda item: peer.answer([files[item]])["seconds"][0], **calls},
        len(files),
        budget=budget,
        repetitions=repetitions,
        seed=seed,
    )
    theirs = timings[PEER][TOTAL]
    rows: dict[str, dict[str, Any]] = {}
    for name, found in timings.items():
        rows[name] = {"stages": {stage: summarise(one, batch=1) for stage, one in found.items()}}
        if name != PEER:
            rows[name] |= {
                "times_as_fast": ratio(theirs, found[TOTAL]),
                "limit": {
                    "share_of_reading": ratio(found[READ], found[TOTAL]),
                    "times_as_fast": ratio(theirs, found[READ]),
                },
            }
    return rows


def throughput(
    peer: PaddleVideo,
    models: Mapping[str, Model],
    files: Sequence[Path],
    *,
    batch_size: int,
    repetitions: int,
    seed: int,
) -> dict[str, dict[str, Any]]:
    """Time PaddleVideo's loop over files, and `Model.predict`, which reads several at a time.

    Returns:
        JSON-ready, by name: clips a second, and of ours how many times as fast as PaddleVideo's.
    """
    loops: dict[str, Loop] = {
        PEER: lambda many: float(peer.answer(many, batch_size=batch_size)["total"]),
        **{cell: _loop_of(model, batch_size=batch_size) for cell, model in models.items()},
    }
    timings = loops_in_turns(loops, files, repetitions=repetitions, seed=seed)
    rows = {}
    for name, found in timings.items():
        each = [len(files) / seconds for seconds in found.medians]
        rows[name] = summarise(found, batch=len(files))
        rows[name]["clips_per_second_spread"] = [min(each), max(each)]
        if name != PEER:
            rows[name]["times_as_fast"] = ratio(timings[PEER], found)
    return rows


def _loop_of(model: Model, *, batch_size: int) -> Loop:
    def run(files: Sequence[Path]) -> float:
        begun = time.perf_counter()
        found = list(model.predict(files, batch_size=batch_size))
        taken = time.perf_counter() - begun
        for one in found:
            if one.error is not None:
                raise BenchmarkError(f"{one.video}: {one.error}")
        return taken

    return run


def loops_in_turns(
    loops: Mapping[str, Loop], files: Sequence[Path], *, repetitions: int, seed: int
) -> dict[str, Timings]:
    """Seconds of each loop in each repetition; every repetition has an order of its own.

    One file goes through a loop before the files that are timed: threads of the one before, which
    stay awake for a while, sleep then.
    """
    rng = np.random.default_rng(seed)
    names = list(loops)
    taken: dict[str, list[tuple[float, ...]]] = {name: [] for name in names}
    for _ in range(repetitions):
        for place in rng.permutation(len(names)):
            name = names[place]
            loops[name](files[:1])
            taken[name].append((loops[name](files),))
    return {name: Timings(tuple(values)) for name, values in taken.items()}
