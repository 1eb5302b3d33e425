"""What reading a file took is freed when it ends, without waiting for the garbage collector."""

from __future__ import annotations

import gc

import pytest

from infer.clips.decode import each_frame, read_video
from infer.containers import proven
from tests.infer.clips.choices import read_or_why, uniform
from tests.infer.clips.made import EVERY


@pytest.fixture
def left():
    """Objects of PyAV that only the garbage collector would free, by now."""

    def found():
        gc.collect()
        kinds = [type(one).__name__ for one in gc.garbage if type(one).__module__.startswith("av.")]
        gc.garbage.clear()
        return kinds

    gc.disable()
    gc.freeze()  # what is there already need not be looked through each time
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        yield found
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
        gc.unfreeze()
        gc.enable()


@pytest.mark.parametrize("made", EVERY, ids=lambda made: f"{made.codec}-{made.name}")
@pytest.mark.parametrize("held", [1 << 25, 0])
def test_nothing_is_left_of_a_file_that_was_read(clip, left, monkeypatch, made, held):
    path, _, _ = clip(made)
    monkeypatch.setattr(proven, "_HELD", held)
    left()  # of its making
    for every_frame in (False, True):
        read_video(path, uniform(6), every_frame=every_frame)
        assert left() == []
    each_frame(path, lambda frame: None)
    assert left() == []


def test_nothing_is_left_of_a_file_that_cannot_be_read(clip, left, tmp_path):
    path, _, _ = clip(EVERY[0])
    data = path.read_bytes()
    copy = tmp_path / path.name
    left()
    for end in (0, 100, len(data) // 2, len(data) - 100):
        copy.write_bytes(data[:end])
        read_or_why(copy, uniform(6), False)
        assert left() == [], end
