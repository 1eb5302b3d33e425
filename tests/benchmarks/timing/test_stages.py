"""A clip from file to label with a clock between the stages, on a clock that the test moves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.timing import latency, stages
from benchmarks.timing.stages import STAGES, answer, pixels_of_deployment
from infer.clips.spec import ClipSpec, PreprocessSpec, SamplingSpec
from infer.pipeline.rank import top_k
from train.data.lists import Sample

CLASSES = ("dark", "bright")
SPEC = ClipSpec(
    SamplingSpec(num_seg=3, views=2, kind="dense", window=6),
    PreprocessSpec(short_size=20, fixed_ratio=False, crop=16),
)


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory, write_clip: Callable[..., Path]) -> list[Any]:
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    made = []
    for number in range(2):
        frames = rng.integers(0, 256, (9, 32, 40, 3), dtype=np.uint8)
        made.append(Sample(write_clip(folder / f"{number}.mp4", frames), 0, None, number))
    return made


def brightness(clips: np.ndarray) -> np.ndarray:
    light = clips.mean(axis=(1, 2, 3, 4), dtype=np.float32)
    return np.stack([128 - light, light - 128], axis=1)


class Clock:
    def __init__(self) -> None:
        self.time = 0.0

    def __call__(self) -> float:
        return self.time

    def slowed(self, function: Callable[..., Any], seconds: float) -> Callable[..., Any]:
        def call(*positional: Any, **named: Any) -> Any:
            self.time += seconds
            return function(*positional, **named)

        return call


def test_what_is_timed_is_what_deployment_does(samples: list[Any]) -> None:
    done = answer(samples[0], SPEC, brightness, CLASSES)
    clips = pixels_of_deployment(samples[0], SPEC)
    assert np.array_equal(done.clips, clips) and clips.shape == (2, 3, 16, 16, 3)
    assert list(done.ranked) == top_k(brightness(clips), 5, CLASSES)
    assert sum(done.seconds[stage] for stage in STAGES) == pytest.approx(done.seconds["total"])


def test_frame_folders_are_timed_as_well(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    for number in range(1, 8):
        picture = np.full((30, 40, 3), 30 * number, np.uint8)
        cv2.imwrite(str(tmp_path / f"img_{number:05}.jpg"), picture)
    sample = Sample(tmp_path, 0, 7, 1)
    done = answer(sample, SPEC, brightness, CLASSES)
    assert np.array_equal(done.clips, pixels_of_deployment(sample, SPEC))


SLOW = {
    "read": "read_video",
    "preprocess": "scale_frame",
    "rank": "top_k",
}


@pytest.mark.parametrize("slow", STAGES)
def test_a_slow_stage_is_the_one_that_shows(
    samples: list[Any], monkeypatch: pytest.MonkeyPatch, slow: str
) -> None:
    clock = Clock()
    run = brightness
    if slow == "network":
        run = clock.slowed(brightness, 0.25)
    else:
        monkeypatch.setattr(stages, SLOW[slow], clock.slowed(getattr(stages, SLOW[slow]), 0.25))
    seconds = answer(samples[0], SPEC, run, CLASSES, clock=clock).seconds
    # Six different frames are scaled, one after the other.
    expected = 0.25 * (6 if slow == "preprocess" else 1)
    assert seconds[slow] == pytest.approx(expected) == seconds["total"]
    assert all(seconds[stage] == 0 for stage in STAGES if stage != slow)


def test_one_slow_clip_in_twenty_moves_the_p99_of_its_stage_alone(samples: list[Any]) -> None:
    clock = Clock()
    calls = 0

    def network(clips: np.ndarray) -> np.ndarray:
        nonlocal calls
        calls += 1
        clock.time += 0.5 if calls % 20 == 0 else 0.01
        return brightness(clips)

    found = latency.stages_in_turns(
        {
            "even": lambda item: (
                answer(
                    samples[item], SPEC, clock.slowed(brightness, 0.01), CLASSES, clock=clock
                ).seconds
            ),
            "jump": lambda item: answer(samples[item], SPEC, network, CLASSES, clock=clock).seconds,
        },
        len(samples),
        budget=6,
        repetitions=3,
        clock=clock,
    )
    rows = {
        name: {stage: latency.summarise(timings, batch=1) for stage, timings in stages.items()}
        for name, stages in found.items()
    }
    jump, even = rows["jump"], rows["even"]
    assert jump["network"]["calls"] == even["network"]["calls"] >= 60
    assert jump["network"]["p50"] == pytest.approx(0.01)
    assert jump["network"]["p99"] == jump["total"]["p99"] == pytest.approx(0.5)
    assert even["network"]["p99"] == pytest.approx(0.01)
    assert jump["read"]["p99"] == jump["rank"]["p99"] == 0
