"""The batches of one epoch, prefetched by threads, in an order that nothing but the seed decides.

The order of an epoch comes from (seed, epoch) and the random draws of a sample from (seed, epoch,
index), so neither the number of workers nor a resumed run changes a single pixel.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from infer.system.errors import VideoError

_Read = tuple[np.ndarray, int] | VideoError
_Wanted = tuple[int, int]  # the index of a sample, and which of its repetitions


class ClipSource(Protocol):
    """What a loader reads from; `train.data.dataset.ClipDataset` is one."""

    @property
    def clip_shape(self) -> tuple[int, int, int, int]:
        """[T, H, W, 3] of every clip."""

    @property
    def views(self) -> int:
        """Clips a sample."""

    def __len__(self) -> int: ...

    def read(self, index: int, *, rng: np.random.Generator | None) -> tuple[np.ndarray, int]:
        """uint8 [views, T, H, W, 3] and the label of sample `index`, or VideoError."""


@dataclass(frozen=True)
class Batch:
    """Samples that belong together, without those that could not be read.

    Attributes:
        clips: uint8 [N * views, T, H, W, 3], the views of a sample next to each other.
        labels: int64 [N]; with a label swap of the augmentation applied.
        indices: int64 [N], the samples' places in the dataset.
        failed: (index, error) of each sample of this batch that could not be read.
        number: place of the batch in its epoch, from 0.
        views: clips of each sample.
    """

    clips: np.ndarray
    labels: np.ndarray
    indices: np.ndarray
    failed: tuple[tuple[int, VideoError], ...] = ()
    number: int = 0
    views: int = 1


def epoch_order(samples: int, *, seed: int, epoch: int, shuffle: bool) -> np.ndarray:
    """int64 [samples]: every index once, in the order of this epoch."""
    if not shuffle:
        return np.arange(samples, dtype=np.int64)
    return np.random.default_rng([seed, epoch]).permutation(samples).astype(np.int64)


def batches_in_epoch(samples: int, *, batch_size: int, drop_last: bool) -> int:
    """How many batches an epoch has; `drop_last` leaves out a last one that is not full."""
    return samples // batch_size if drop_last else -(-samples // batch_size)


def epoch_batches(
    dataset: ClipSource,
    *,
    batch_size: int,
    seed: int,
    epoch: int,
    shuffle: bool,
    drop_last: bool,
    workers: int,
    start: int = 0,
    share: tuple[int, int] = (0, 1),
    order: tuple[np.ndarray, np.ndarray] | None = None,
) -> Generator[Batch, None, None]:
    """Yield the batches `start`, `start + 1`, ... of an epoch; nothing before `start` is read.

    A sample that cannot be read (VideoError) is missing from its batch and listed in `failed`. No
    other sample takes its place, so every batch has the same members on every run; one whose
    samples all failed comes with no clips. Any other exception is raised here.

    Args:
        dataset: what to read.
        batch_size: samples of a batch.
        seed: of the order and of the augmentation.
        epoch: its number; each has another order.
        shuffle: False keeps the order of the list.
        drop_last: leave out a last batch that is not full.
        workers: threads that read ahead, by one batch and twice their number; 0 reads in the
            caller.
        start: the first batch.
        share: (i, n) reads the i-th of n neighbouring batches, from 0, as one of n processes that
            read an epoch together; `start` counts what all of them read at a time.
        order: int64 [n] indices of the epoch and how often each of them came before in it; None:
            every sample once, in the order of `shuffle`. A repeated sample has other draws.

    Raises:
        ValueError: an argument is out of range.
    """
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("seed", seed, 0),
        ("epoch", epoch, 0),
        ("workers", workers, 0),
        ("start", start, 0),
    ):
        if value < least:
            raise ValueError(f"{name} is {value}, allowed: {least} or more")
    if order is None:
        indices = epoch_order(len(dataset), seed=seed, epoch=epoch, shuffle=shuffle)
        order = indices, np.zeros_like(indices)
    indices, copies = order
    place, of = share
    count = batches_in_epoch(len(indices), batch_size=batch_size * of, drop_last=drop_last)
    begins = [(number * of + place) * batch_size for number in range(start, count)]
    members = [indices[begin : begin + batch_size] for begin in begins]
    repeats = [copies[begin : begin + batch_size] for begin in begins]

    def read(wanted: tuple[int, int]) -> _Read:
        index, copy = wanted
        draws = [seed, epoch, index, copy] if copy else [seed, epoch, index]
        try:
            return dataset.read(index, rng=np.random.default_rng(draws))
        except VideoError as error:
            return error

    chosen = zip(*(_flat(parts) for parts in (members, repeats)), strict=True)
    results = _in_order(read, list(chosen), workers=workers, ahead=batch_size + 2 * workers)
    return _batches(dataset, members, results, start)


def _flat(parts: list[np.ndarray]) -> list[int]:
    return [int(value) for part in parts for value in part]


def _in_order(
    read: Callable[[_Wanted], _Read], wanted: list[_Wanted], *, workers: int, ahead: int
) -> Generator[_Read, None, None]:
    """read(one) for all that is wanted, in order, at most `ahead` begun before their turn."""
    if workers == 0:
        yield from map(read, wanted)
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="clips")
    pending: deque[Future[_Read]] = deque()
    try:
        for one in wanted:
            pending.append(pool.submit(read, one))
            if len(pending) >= ahead:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # Also when the consumer stops early or a read raised: wait only for reads that run.
        pool.shutdown(wait=True, cancel_futures=True)


def _batches(
    dataset: ClipSource,
    members: list[np.ndarray],
    results: Generator[_Read, None, None],
    start: int,
) -> Generator[Batch, None, None]:
    with closing(results):
        for number, batch in enumerate(members, start=start):
            clips: list[np.ndarray] = []
            labels: list[int] = []
            indices: list[int] = []
            failed: list[tuple[int, VideoError]] = []
            for index in batch.tolist():
                result = next(results)
                if isinstance(result, VideoError):
                    failed.append((index, result))
                    continue
                clips.append(result[0])
                labels.append(result[1])
                indices.append(index)
            yield Batch(
                clips=_stack(clips, dataset.clip_shape),
                labels=np.array(labels, np.int64),
                indices=np.array(indices, np.int64),
                failed=tuple(failed),
                number=number,
                views=dataset.views,
            )


def _stack(clips: list[np.ndarray], shape: tuple[int, int, int, int]) -> np.ndarray:
    return np.concatenate(clips) if clips else np.empty((0, *shape), np.uint8)
