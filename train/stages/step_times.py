"""How long the stages of a run will take: a few steps of each, timed before the first begins.

A run that trains its teacher first is two trainings, whose steps differ. Before the first one
begins, a few steps of each are timed on noise; how long the steps of the first one really take,
with reading and validation, then says what the others' will.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from infer.system.errors import ClipDuetError
from train.engine.stage_progress import Cost

if TYPE_CHECKING:
    from train.distill.recognizers import Recognizer
    from train.engine.run import Run

ENOUGH, MOST = 2.0, 6
"""Seconds and steps after which a stage has been timed."""


def cost_of_training(run: Run) -> Cost | None:
    """Take steps of a run that is then thrown away; None: it takes none alone, or fails.

    Its networks learn from noise.
    """
    from train.data.loader import Batch
    from train.distributed.shards import Shards
    from train.engine.step import Part, take_step

    steps = run.total_steps - run.progress.step
    if run.team.size > 1:
        return None  # another process may have stopped at a mistake: nobody waits for it here
    size = run.cfg.DATASET.batch_size
    rng = np.random.default_rng(0)
    clips = rng.integers(0, 256, (size, *run.train.clip_shape), np.uint8)
    labels = rng.integers(0, run.cfg.class_num, size)
    part = Part(Batch(clips, labels, np.arange(size)), Shards((size,)), (), True)
    run.recognizer.train()
    seconds = _timed(lambda: take_step(run, [part] * run.parts))
    return None if seconds is None else Cost(steps, seconds)


def cost_of_labelling(
    network: Recognizer, shape: Sequence[int], *, batch: int, clips: int
) -> Cost | None:
    """The same of a network that labels clips of `shape`, `[T, H, W, 3]`; a step is a batch."""
    import paddle

    frames, height, width, _ = shape
    # Not Paddle's random numbers: what is drawn later must not depend on this.
    noise = np.random.default_rng(0).random((batch * frames, 3, height, width), np.float32)
    network.eval()

    def once() -> None:
        with paddle.no_grad():
            network.student(paddle.to_tensor(noise)).numpy()

    seconds = _timed(once)
    return None if seconds is None else Cost(-(-clips // batch), seconds)


def _timed(act: Callable[[], object]) -> float | None:
    """Seconds of the quickest of a few times: the first ones compile; None where it fails.

    What fails here fails in the training too, with its message: a loss that diverges, memory that
    does not suffice, shapes that do not fit.
    """
    times: list[float] = []
    try:
        while len(times) < 2 or (len(times) < MOST and sum(times) < ENOUGH):
            begin = time.perf_counter()
            act()
            times.append(time.perf_counter() - begin)
    except (ClipDuetError, MemoryError, RuntimeError, ValueError):
        return None
    return min(times)
