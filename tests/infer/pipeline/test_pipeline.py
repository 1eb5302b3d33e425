"""Many videos: order, failures, batches, and memory that does not grow with their number."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from infer.clips.decode import VideoInfo
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.pipeline.predictions import predict_videos
from infer.system.errors import BackendError, VideoError

SPEC = ClipSpec(SamplingSpec(num_seg=2, views=2), PreprocessSpec(short_size=8, crop=8))
NAMES = [str(i) for i in range(7)]


def number(path):
    return int(Path(path).stem)


def fake_load(path, spec):
    """Clips that hold the video's number; every 5th does not decode, every 7th is damaged."""
    k = number(path)
    time.sleep(0.002 * (k % 3))  # threads finish out of order
    if k % 5 == 4:
        raise VideoError(path, f"broken {k}")
    clips = np.full((2, 2, 8, 8, 3), k % 256, np.uint8)
    return clips, VideoInfo(Path(path), "x", 8, 8, None, 10, 9, damaged=k % 7 == 0)


def fake_run(clips):
    """The number modulo 7 wins."""
    logits = np.zeros((len(clips), 7), np.float32)
    logits[np.arange(len(clips)), clips[:, 0, 0, 0, 0] % 7] = 3
    return logits


def videos(n):
    return [Path(f"{k}.mp4") for k in range(n)]


@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (1, 4), (3, 2), (8, 3), (100, 2)])
def test_answers_come_in_order_whatever_the_batches(batch_size, workers):
    out = list(
        predict_videos(
            videos(40),
            fake_run,
            SPEC,
            NAMES,
            batch_size=batch_size,
            workers=workers,
            k=2,
            load=fake_load,
        )
    )
    assert [number(p.video) for p in out] == list(range(40))
    for k, p in enumerate(out):
        if k % 5 == 4:
            assert p.error == f"broken {k}" and p.topk == ()
        else:
            assert p.error is None and len(p.topk) == 2
            assert p.topk[0].label == str(k % 7)
            assert p.topk[0].score == pytest.approx(np.exp(3) / (np.exp(3) + 6))
        damaged = k % 7 == 0 and k % 5 != 4
        assert (p.warning is not None) == damaged
        if damaged:
            assert "header claims 10" in p.warning


def test_nothing_in_nothing_out():
    assert list(predict_videos([], fake_run, SPEC, NAMES, load=fake_load)) == []


def test_memory_is_flat_over_a_thousand_videos():
    """Counts the clips alive at every moment, with a consumer slower than the decoders."""
    alive = most = 0
    lock = threading.Lock()
    batch_size, workers = 3, 4

    def gone():
        nonlocal alive
        with lock:
            alive -= 1

    def load(path, spec):
        nonlocal alive, most
        clips = np.zeros((2, 2, 8, 8, 3), np.uint8)
        weakref.finalize(clips, gone)
        with lock:
            alive += 1
            most = max(most, alive)
        return clips, VideoInfo(Path(path), "x", 8, 8, None, 2, 2, damaged=False)

    def run(clips):
        time.sleep(0.001)
        return fake_run(clips)

    asked = 0

    def source():
        nonlocal asked
        for video in videos(1000):
            asked += 1
            yield video

    done = 0
    for _ in predict_videos(
        source(), run, SPEC, NAMES, batch_size=batch_size, workers=workers, load=load
    ):
        done += 1
        assert asked - done <= 2 * batch_size + workers
    gc.collect()
    assert done == 1000
    assert most <= 2 * batch_size + workers
    assert alive == 0


def test_a_network_that_fails_is_said_for_its_videos_and_the_rest_goes_on():
    def run(clips):
        if clips[0, 0, 0, 0, 0] == 2:
            raise BackendError("out of memory")
        return fake_run(clips) * (np.nan if clips[0, 0, 0, 0, 0] == 3 else 1)

    out = list(predict_videos(videos(6), run, SPEC, NAMES, load=fake_load))
    assert [p.error is None for p in out] == [True, True, False, False, False, True]
    assert out[2].error == "out of memory"
    assert "not finite" in out[3].error


def test_a_batch_that_memory_does_not_hold_is_said_for_its_videos():
    def run(clips):
        if len(clips) > 2:
            raise MemoryError
        return fake_run(clips)

    out = list(predict_videos(videos(3), run, SPEC, NAMES, batch_size=2, load=fake_load))
    assert ["memory" in str(p.error) for p in out] == [True, True, False]


class OfTheCallerError(Exception):
    pass


def breaking(after, error=OfTheCallerError):
    yield from videos(after)
    raise error


@pytest.mark.parametrize("after", [0, 1, 3, 4, 20])
@pytest.mark.parametrize(("batch_size", "workers"), [(1, 1), (3, 2), (100, 2)])
def test_what_the_source_raises_comes_after_the_answers_before_it(after, batch_size, workers):
    found = predict_videos(
        breaking(after),
        fake_run,
        SPEC,
        NAMES,
        batch_size=batch_size,
        workers=workers,
        load=fake_load,
    )
    seen = []

    def use():
        for one in found:
            seen.append(number(one.video))

    with pytest.raises(OfTheCallerError):
        use()
    assert seen == list(range(after))


def test_ctrl_c_in_the_source_does_not_wait():
    with pytest.raises(KeyboardInterrupt):
        list(predict_videos(breaking(3, KeyboardInterrupt), fake_run, SPEC, NAMES, load=fake_load))


@pytest.mark.parametrize(("frames", "said"), [(1, "1 frame decodes"), (2, "2 frames decode")])
def test_frames_that_decode_are_counted_in_words(frames, said):
    def load(path, spec):
        clips, info = fake_load(path, spec)
        return clips, replace(info, frames=frames, header_frames=None)

    (found,) = predict_videos(videos(1), fake_run, SPEC, NAMES, load=load)
    assert found.warning is not None and found.warning.endswith(said)


def test_frames_that_cannot_be_resized_are_said_for_their_video():
    def load(path, spec):
        if number(path) == 1:
            cv2.resize(np.empty((0, 0, 3), np.uint8), (8, 8))
        return fake_load(path, spec)

    options = {"batch_size": 1, "workers": 2, "k": 1, "load": load}
    out = list(predict_videos(videos(3), fake_run, SPEC, NAMES, **options))
    assert [item.error is None for item in out] == [True, False, True]
    assert "cannot be resized" in out[1].error


def test_stopping_early_stops_the_decoding():
    read = []

    def load(path, spec):
        read.append(path)
        return fake_load(path, spec)

    stream = predict_videos(videos(1000), fake_run, SPEC, NAMES, workers=2, load=load)
    next(stream)
    stream.close()
    time.sleep(0.1)
    seen = len(read)
    time.sleep(0.1)
    assert len(read) == seen < 20


@pytest.mark.parametrize("options", [{"batch_size": 0}, {"workers": 0}])
def test_impossible_options(options):
    with pytest.raises(ValueError, match="at least 1"):
        predict_videos(videos(1), fake_run, SPEC, NAMES, **options)
