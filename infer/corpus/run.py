"""The pipeline of Ray Data, and its answers on their way to the output."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterator
from typing import Any

from ..command.runner import FAILED
from ..system.errors import ClipDuetError
from .cluster import Workers
from .network import Network, NetworkSettings
from .parts import Parts, Row
from .progress import Progress
from .reading import ReadSettings, read_videos
from .sources import Source

LOST = 3
"""Workers that a block of videos may lose before the run ends: one that is killed is replaced."""


class CorpusError(ClipDuetError):
    """The run cannot go on."""

    exit_status = FAILED


def answer(
    source: Source,
    done: Collection[str],
    parts: Parts,
    reading: ReadSettings,
    network: NetworkSettings,
    workers: Workers,
    progress: Progress,
) -> int:
    """Answer all inputs that are not done; how many of them have an error.

    Raises:
        CorpusError: Ray gives up.
    """
    left = {name for name in source.names if name not in done}
    failed = 0
    while left:
        before = len(left)
        for rows in _answers(source, left, reading, network, workers):
            new = []
            for row in rows:  # each name once, whatever Ray repeats
                if row["video"] in left:
                    left.discard(row["video"])
                    new.append(row)
                    failed += row["error"] is not None
            parts.add(new)
            progress.count(len(new))
        if len(left) == before:
            raise CorpusError(f"Ray gave no answer for {len(left)} videos; run the command again")
    return failed


def _answers(
    source: Source,
    left: Collection[str],
    reading: ReadSettings,
    network: NetworkSettings,
    workers: Workers,
) -> Iterator[list[Row]]:
    import ray
    import ray.data

    # Clips leave a task block by block, not when all that it reads is done.
    size = reading.block * reading.spec.clips * math.prod(reading.spec.clip_shape)
    ray.data.DataContext.get_current().target_max_block_size = size
    with warnings.catch_warnings():
        # Ray 2.60 has no other way to say how often a task is tried again.
        warnings.simplefilter("ignore")
        read: Any = source.dataset(left, reading.block).map_batches(
            read_videos,
            fn_kwargs={"settings": reading},
            batch_size=reading.block,
            batch_format="pyarrow",
            compute=ray.data.TaskPoolStrategy(size=workers.decoders),
            num_cpus=1,
            max_retries=LOST,
        )
        answered = read.map_batches(
            Network,
            fn_constructor_kwargs={"settings": network},
            batch_size=workers.batch,
            batch_format="pyarrow",
            compute=ray.data.ActorPoolStrategy(size=workers.actors),
            num_cpus=workers.threads,
            num_gpus=workers.gpus or None,
            max_task_retries=LOST,
        )
    try:
        for table in answered.iter_batches(batch_size=None, batch_format="pyarrow"):
            yield table.to_pylist()
    except ray.exceptions.RayError as error:
        raise CorpusError(_reason(error)) from None


def _reason(error: BaseException) -> str:
    """What a person needs to know of an error of Ray."""
    import ray.exceptions

    lost = (ray.exceptions.WorkerCrashedError, ray.exceptions.RayActorError)
    seen: BaseException | None = error
    while seen is not None:
        cause = getattr(seen, "cause", None) or seen.__cause__
        if isinstance(cause, ClipDuetError):
            return str(cause)
        if isinstance(seen, lost):
            return (
                f"workers ended {LOST + 1} times at the same videos; with --isolate a video that "
                "crashes the decoder is an error of its own"
            )
        seen = cause if isinstance(cause, BaseException) and cause is not seen else None
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f"Ray: {lines[-1].strip() if lines else type(error).__name__}"
