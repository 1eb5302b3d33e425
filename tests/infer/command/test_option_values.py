"""Numbers that no machine has or waits for are refused, and the largest allowed ones work."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from infer.clips.preprocess import load_clips
from infer.containers.limits import Limits
from infer.isolation.reading import IsolatedReading
from infer.predict import main

from ..conftest import SPEC

COUNTS = (
    *("--device", "--batch-size", "--max-batch", "--top-k", "--num-clips", "--threads"),
    *("--max-pixels", "--max-frames", "--max-bytes"),
)
LIMITS = ("--max-seconds", "--read-timeout", "--read-memory")


@pytest.mark.parametrize("option", [*COUNTS, *LIMITS])
@pytest.mark.parametrize("value", ["1" + "0" * 15 + "1", "9" * 20, "9" * 5000, "-1", "x" * 5000])
def test_a_number_that_makes_no_sense_is_wrong_use(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--video", "a.mp4", "--isolate", f"{option}={value}"])
    assert caught.value.code == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert option in last and "number" in last and "from_" not in last and len(last) < 200


def test_the_largest_limits_are_no_limits(
    make_bundle: Callable[..., Path],
    colour_clip: Callable[..., Path],
    capsys: pytest.CaptureFixture[str],
) -> None:
    args = ["--bundle", str(make_bundle()), "--video", str(colour_clip("a.mp4", "red"))]
    for option in ("--batch-size", "--top-k", "--max-pixels", "--max-frames", "--max-bytes"):
        args += [option, str(10**15)]
    for option in LIMITS:
        args += [option, str(10**9)]
    assert main([*args, "--isolate", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["label"] == "red"


def test_in_python_too(colour_clip: Callable[..., Path], tmp_path: Path) -> None:
    clip = colour_clip("a.mp4", "red")
    expected, _ = load_clips(clip, SPEC)
    with IsolatedReading(1, memory=1 << 80, seconds=float("inf")) as reading:
        assert np.array_equal(reading.load(clip, SPEC)[0], expected)


def test_a_picture_takes_its_own_memory_whatever_it_may_take(tmp_path: Path) -> None:
    import cv2

    cv2.imwrite(str(tmp_path / "img_00001.jpg"), np.zeros((32, 32, 3), np.uint8))
    clips, _ = load_clips(tmp_path, SPEC, limits=Limits(pixels=10**15, bytes=10**18))
    assert clips.shape == (1, *SPEC.clip_shape)
