"""Windows are what files of their frames would be, and hold no more than a window."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import infer
from infer.api import Model
from infer.clips.preprocess import clips_of_frames, load_clips
from infer.clips.spec import ClipSpec, SamplingSpec
from infer.stream import reader as reading
from infer.stream.classify import WindowPrediction, classify
from infer.stream.cut import Cutter, Window
from infer.system.errors import ClipDuetError
from tests.infer.stream.peers import frames, piece, write
from tests.tiny_bundle import SPEC

COLOURS = [0] * 20 + [4] * 20 + [8] * 12


@pytest.fixture
def model(bundle: Path) -> Iterator[Model]:
    with infer.load(bundle, backend="onnxruntime", threads=1) as opened:
        yield opened


def predicted(model: Model, path: Path) -> np.ndarray:
    clips, _ = load_clips(path, model.bundle.spec)
    return model.logits(clips)


def windows(model: Model, path: Path, **options: object) -> list[WindowPrediction]:
    return [one for one in classify(model, path, **options) if isinstance(one, WindowPrediction)]


@pytest.mark.parametrize(
    ("name", "codec"), [("a.mp4", "libx264"), ("a.avi", "mpeg4"), ("a.ts", "libx264")]
)
def test_a_stream_of_one_window_gives_the_logits_of_the_file(model, tmp_path, name, codec):
    path = tmp_path / name
    write(str(path), frames(COLOURS), codec=codec, gop=12)
    (one,) = windows(model, path, window=100)
    assert np.array_equal(one.logits, predicted(model, path))
    assert (one.frames, one.partial, one.lag) == (len(COLOURS), True, None)
    assert one.end - one.start == pytest.approx(5.2)


@pytest.mark.parametrize("by", ["frame", "time"])
@pytest.mark.parametrize("kind", ["uniform", "dense"])
def test_a_window_is_sampled_as_a_file_of_its_length(make_bundle, tmp_path, by, kind):
    sampling = SamplingSpec(num_seg=4, views=2, by=by, kind=kind, window=8)
    folder = make_bundle(spec=replace(SPEC, sampling=sampling))
    path = tmp_path / "a.mkv"
    stamps = [*range(0, 1000, 40), *range(1000, 4000, 200)]
    write(str(path), frames([n % 9 for n in range(len(stamps))]), stamps=stamps)
    with infer.load(folder, backend="onnxruntime", threads=1) as model:
        (one,) = windows(model, path, window=60)
        assert one.logits.shape == (2, 3)
        assert np.array_equal(one.logits, predicted(model, path))


@pytest.mark.parametrize("stride", [2, 1, "0.7"])
def test_windows_of_a_long_file_are_the_pieces_cut_out_of_it(model, tmp_path, stride):
    path = tmp_path / "long.mkv"
    write(str(path), frames(COLOURS), codec="mpeg4")
    found = windows(model, path, window=2, stride=Fraction(stride))
    assert len(found) == {2: 3, 1: 5, "0.7": 6}[stride]
    for number, one in enumerate(found):
        start = float(number * Fraction(stride))
        assert one.start == pytest.approx(start)
        part = piece(path, tmp_path / f"{number}.mkv", start - 0.001, start + 1.999)
        assert np.array_equal(one.logits, predicted(model, part)), number
        assert one.partial == (one.end < start + 2)
    assert found[-1].end == pytest.approx(5.2)


def test_each_frame_is_scaled_once_and_kept_no_longer_than_needed(model, tmp_path, monkeypatch):
    path = tmp_path / "a.mp4"
    write(str(path), frames(COLOURS))
    calls, held = [], []
    scale, add = reading.scale_frame, Cutter.add

    def counted(frame, spec, *, aspect):
        calls.append(1)
        return scale(frame, spec, aspect=aspect)

    def watched(self, *arguments):
        yield from add(self, *arguments)
        held.append(self.held)

    monkeypatch.setattr(reading, "scale_frame", counted)
    monkeypatch.setattr(Cutter, "add", watched)
    assert len(windows(model, path, window=1, stride=Fraction("0.1"))) == 43
    assert len(calls) == len(COLOURS) and max(held) == 10


def test_a_window_that_takes_too_much_memory_is_an_error(model, tmp_path):
    path = tmp_path / "a.mp4"
    write(str(path), frames(COLOURS))
    assert windows(model, path, window=1, memory=12 * 32 * 32 * 3)
    with pytest.raises(ClipDuetError, match="--window"):
        windows(model, path, window=5, memory=12 * 32 * 32 * 3)


@given(
    steps=st.lists(st.integers(1, 30), min_size=1, max_size=60),
    window=st.integers(1, 60),
    stride=st.integers(1, 60),
    begin=st.integers(-50, 50),
)
def test_windows_have_the_frames_of_their_time(steps, window, stride, begin):
    spec = ClipSpec(SamplingSpec(num_seg=3), SPEC.preprocess)
    tenth = Fraction(1, 10)
    times = [begin * tenth + sum(steps[:n]) * tenth for n in range(len(steps))]
    pixels = [np.full((32, 32, 3), n, np.uint8) for n in range(len(steps))]
    cutter = Cutter(spec, window=window * tenth, stride=stride * tenth)
    found: list[Window] = []
    for time, step, picture in zip(times, steps, pixels, strict=True):
        found += cutter.add(time, time + step * tenth, picture)
    found += cutter.flush()
    covered: set[int] = set()
    ends = None
    for one in found:
        number = (one.start - times[0]) / (stride * tenth)
        assert number.denominator == 1
        inside = [n for n, t in enumerate(times) if one.start <= t < one.start + window * tenth]
        assert one.frames == len(inside)
        assert np.array_equal(one.clips, clips_of_frames(np.stack(pixels)[inside], spec))
        assert ends is None or times[inside[-1]] >= ends or not one.partial
        covered |= set(inside)
        ends = one.start + window * tenth
    assert [one.start for one in found] == sorted({one.start for one in found})
    wanted = set(range(len(steps)))
    if stride > window:
        grid = [(t - times[0]) % (stride * tenth) < window * tenth for t in times]
        wanted = {n for n in wanted if grid[n]}
    assert covered == wanted
