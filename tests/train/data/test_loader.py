"""Batches of an epoch: order, membership, prefetch and shutdown depend on the seed alone."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infer.system.errors import VideoError
from train.data.loader import Batch, batches_in_epoch, epoch_batches, epoch_order


class Numbers:
    """Clips that show their index and their first random draw; `broken` ones cannot be read."""

    clip_shape = (1, 2, 2, 3)

    def __init__(self, size: int, *, broken: frozenset[int] = frozenset(), views: int = 1) -> None:
        self.size = size
        self.broken = broken
        self.views = views
        self.reads: list[int] = []

    def __len__(self) -> int:
        return self.size

    def read(self, index: int, *, rng: np.random.Generator | None) -> tuple[np.ndarray, int]:
        self.reads.append(index)
        if index in self.broken:
            raise VideoError(Path(f"{index}.mp4"), "broken")
        assert rng is not None
        clip = np.full((self.views, *self.clip_shape), rng.integers(256), np.uint8)
        clip[..., 0] = index
        return clip, index % 5


def run(source: Numbers, **changes: object) -> list[Batch]:
    options: dict[str, object] = {
        "batch_size": 4,
        "seed": 3,
        "epoch": 1,
        "shuffle": True,
        "drop_last": False,
        "workers": 0,
    }
    return list(epoch_batches(source, **{**options, **changes}))  # type: ignore[arg-type]


def same(a: Batch, b: Batch) -> bool:
    return (
        np.array_equal(a.clips, b.clips)
        and np.array_equal(a.labels, b.labels)
        and np.array_equal(a.indices, b.indices)
        and [index for index, _ in a.failed] == [index for index, _ in b.failed]
        and a.number == b.number
    )


@settings(max_examples=40, deadline=None)
@given(
    size=st.integers(0, 23),
    batch_size=st.integers(1, 7),
    workers=st.integers(1, 4),
    seed=st.integers(0, 2**32),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
    broken=st.frozensets(st.integers(0, 22), max_size=6),
    start=st.integers(0, 8),
)
def test_batches_depend_on_the_seed_alone(
    size: int,
    batch_size: int,
    workers: int,
    seed: int,
    shuffle: bool,
    drop_last: bool,
    broken: frozenset[int],
    start: int,
) -> None:
    options = {"batch_size": batch_size, "seed": seed, "shuffle": shuffle, "drop_last": drop_last}
    inline = run(Numbers(size, broken=broken), **options)
    threaded = run(Numbers(size, broken=broken), workers=workers, **options)
    assert len(inline) == len(threaded)
    assert all(map(same, inline, threaded))

    later_source = Numbers(size, broken=broken)
    later = run(later_source, workers=workers, start=start, **options)
    assert len(later) == len(inline[start:])
    assert all(map(same, inline[start:], later))
    members = [i for b in inline[start:] for i in [*b.indices, *(i for i, _ in b.failed)]]
    assert sorted(later_source.reads) == sorted(members), "nothing before start is read"

    order = epoch_order(size, seed=seed, epoch=1, shuffle=shuffle).tolist()
    count = batches_in_epoch(size, batch_size=batch_size, drop_last=drop_last)
    assert len(inline) == count
    for number, batch in enumerate(inline):
        wanted = order[number * batch_size : (number + 1) * batch_size]
        assert batch.indices.tolist() == [i for i in wanted if i not in broken]
        assert [i for i, _ in batch.failed] == [i for i in wanted if i in broken]
        assert batch.clips[:, 0, 0, 0, 0].tolist() == batch.indices.tolist()
        assert batch.labels.tolist() == [i % 5 for i in batch.indices]
        assert batch.labels.dtype == batch.indices.dtype == np.int64
        assert batch.clips.shape[1:] == Numbers.clip_shape
        assert batch.clips.dtype == np.uint8
    seen = sorted(i for b in inline for i in [*b.indices.tolist(), *(i for i, _ in b.failed)])
    if drop_last:
        assert len(seen) == len(set(seen)) == size - size % batch_size
    else:
        assert seen == list(range(size))


def test_epochs_and_seeds_differ_in_order_and_pixels() -> None:
    def pixels(**changes: object) -> tuple[list[int], dict[int, int]]:
        batches = run(Numbers(40), **changes)
        order = [i for b in batches for i in b.indices.tolist()]
        draws = [int(v) for b in batches for v in b.clips[:, 0, 0, 0, 1]]
        return order, dict(zip(order, draws, strict=True))

    base, other_epoch, other_seed = pixels(), pixels(epoch=2), pixels(seed=4)
    assert base == pixels()
    for other in (other_epoch, other_seed):
        assert base[0] != other[0]
        assert sum(base[1][i] == other[1][i] for i in range(40)) < 10


def test_other_samples_keep_their_pixels_when_one_fails() -> None:
    whole, holed = run(Numbers(10)), run(Numbers(10, broken=frozenset({4})))
    for a, b in zip(whole, holed, strict=True):
        keep = a.indices != 4
        assert np.array_equal(a.clips[keep], b.clips)
        assert np.array_equal(a.indices[keep], b.indices)


def test_a_batch_that_failed_as_a_whole_is_empty_but_there() -> None:
    batches = run(Numbers(6, broken=frozenset({0, 1, 2})), batch_size=3, shuffle=False)
    assert batches[0].clips.shape == (0, 1, 2, 2, 3)
    assert [(i, e.reason) for i, e in batches[0].failed] == [(i, "broken") for i in range(3)]
    assert batches[1].indices.tolist() == [3, 4, 5]


def test_views_of_a_sample_stand_together() -> None:
    (batch,) = run(Numbers(3, views=2), shuffle=False)
    assert batch.views == 2
    assert batch.clips[:, 0, 0, 0, 0].tolist() == [0, 0, 1, 1, 2, 2]
    assert batch.labels.tolist() == [0, 1, 2]


class Faulty(Numbers):
    def read(self, index: int, *, rng: np.random.Generator | None) -> tuple[np.ndarray, int]:
        if index == 5:
            raise ZeroDivisionError("a bug, not a bad video")
        return super().read(index, rng=rng)


@pytest.mark.parametrize("workers", [0, 3])
def test_other_errors_are_raised(workers: int) -> None:
    with pytest.raises(ZeroDivisionError):
        run(Faulty(20), workers=workers)
    assert not clip_threads()


def clip_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("clips")]


def test_reading_ahead_is_bounded_and_stops_with_the_consumer() -> None:
    source = Numbers(200)
    batches = epoch_batches(
        source,
        batch_size=4,
        seed=0,
        epoch=0,
        shuffle=True,
        drop_last=False,
        workers=2,
    )
    assert source.reads == [], "nothing is read before the first batch is asked for"
    for _ in range(3):
        next(batches)
    batches.close()
    assert 12 <= len(source.reads) <= 12 + 4 + 2 * 2
    assert not clip_threads()


@pytest.mark.parametrize("name", ["batch_size", "seed", "epoch", "workers", "start"])
def test_arguments_out_of_range(name: str) -> None:
    with pytest.raises(ValueError, match=f"{name} is -1"):
        run(Numbers(3), **{name: -1})
